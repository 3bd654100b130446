// A repository in a bucket of an S3 server.
//
// put_if_absent is one PUT with "If-None-Match: *", signed with the content's
// SHA-256, which the server checks: the object appears whole or not at all, and
// 412 says that the name is taken. Whatever the server acknowledged is durable.
// No object is sent in parts: packs have at most 64 MiB, and what is larger is
// a commit of its own, which a server must decide in one request (decision 21).
//
// A server that ignores the condition, or refuses it (501), is found out with an
// object of no content, PREFIX/.conditional-writes, before the first write.
// There a write asks first whether the name is taken, which two writers at once
// may both be denied: has_conditional_writes() is false.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "storage/object/conditional_writes.h"
#include "storage/object/listing.h"
#include "storage/s3/s3_client.h"
#include "storage/storage.h"

namespace walvault {

class S3Storage final : public Storage {
 public:
  S3Storage(S3Settings settings, S3Client::LoadCredentials load, Clock& clock);

  [[nodiscard]] bool put_if_absent(std::string_view key, const ObjectContent& content) override;
  [[nodiscard]] std::optional<Bytes> find(std::string_view key, ByteRange range) override;
  [[nodiscard]] std::optional<std::uint64_t> find_size(std::string_view key) override;
  void list(std::string_view prefix, const std::function<void(const ObjectInfo&)>& each) override;
  [[nodiscard]] std::vector<std::string> list_names(std::string_view prefix) override;
  void remove(const std::vector<std::string>& keys) override;
  // What can be read is durable.
  void settle(const std::vector<std::string>&) override {}
  [[nodiscard]] Replaced replace_damaged(std::string_view key, const ObjectContent& content,
                                         const IsWhole& is_whole) override;
  // A PUT that is broken off leaves nothing.
  std::uint64_t remove_leftovers(Timestamp) override { return 0; }
  [[nodiscard]] bool has_conditional_writes() override { return conditional_writes_.are_heeded(); }
  [[nodiscard]] std::string url() const override { return client_.url(); }

 private:
  [[nodiscard]] std::string full_key(std::string_view key) const;
  [[nodiscard]] S3Request put_request(std::string full_key, const ObjectContent& content,
                                      bool conditional) const;
  [[nodiscard]] bool probe();
  [[nodiscard]] ListingPage list_page(const std::string& prefix, bool names_only,
                                      const std::string& token);
  void remove_batch(const std::vector<std::string>& keys);
  // nullopt: the key is not there.
  [[nodiscard]] std::optional<HttpResponse> get(std::string_view key, ByteRange range);

  S3Client client_;
  const std::string prefix_;  // with a slash at its end, or empty
  ConditionalWrites conditional_writes_;
};

}  // namespace walvault
