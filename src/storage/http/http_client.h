// HTTP/1.1 requests over libcurl, with connections that are kept alive and
// used by whichever thread asks next.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "storage/storage.h"

namespace walvault {

struct HttpOptions {
  std::string ca_file;  // of who may vouch for a server; empty: the system's
  std::chrono::milliseconds connect_timeout{10'000};
  // Nothing sent and nothing received for so long ends a request.
  std::chrono::seconds stall_timeout{30};
  // A request as a whole may take this, and a second more for each `slowest` bytes
  // that it carries.
  std::chrono::seconds total_timeout{60};
  std::uint64_t slowest_bytes_per_second = 32768;
};

struct HttpRequest {
  std::string method;  // GET, PUT, POST, DELETE
  std::string url;
  std::map<std::string, std::string> headers = {};
  ObjectContent content = {};          // of PUT and POST
  std::uint64_t answer_bytes_max = 0;  // a longer one is Error{unavailable}
  // Of the answer, for the time that the request may take; 0: that is not known, and such
  // a one is held to a least speed instead.
  std::uint64_t expected_bytes = 0;
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  Bytes body;

  // Empty: there is none of that name.
  [[nodiscard]] std::string header(const std::string& name) const;
};

// Thread-safe: as many requests run at once as there are callers, each over a
// connection of its own. A child process may go on with it after fork().
class HttpClient {
 public:
  explicit HttpClient(HttpOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Any whole answer, whatever its status. No redirect is followed. Throws
  // Error{unavailable} when there is none, transient unless repeating is in vain
  // (a certificate that is not trusted).
  [[nodiscard]] HttpResponse perform(const HttpRequest& request);

 private:
  class Handle;
  [[nodiscard]] std::unique_ptr<Handle> take_handle();
  void give_back(std::unique_ptr<Handle> handle);

  const HttpOptions options_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Handle>> idle_;  // the last one used at the end
  pid_t process_;
};

}  // namespace walvault
