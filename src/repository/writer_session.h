// A writer's side of the protocol that lets gc delete beside running writers
// with no lock and no clock (docs/repository-format.md, "Deleting while others
// write"). The order of the steps is what makes it safe:
//   1. read the sources: the parent's root, what killed runs left. PUT a pin: what
//      may be borrowed, and the root key that this writer will commit;
//   2. then LIST the plans of gcs: what one of them has condemned is never
//      borrowed again; nor is a pack that is gone, or marked as damaged;
//   3. then look whether each source is still there; if not, borrow nothing
//      from it;
//   4. PUT packs, all under packs/<writer>/;
//   5. put_if_absent of the root: the commit. Then the pin may go.
// A writer deletes nothing else. One that fails closes its own root key.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "repository/repository.h"
#include "repository/tree.h"
#include "repository/writer_id.h"

namespace walvault {

// A chunk that may be borrowed: its pack indexes are those of the session's lenders, where a
// ChunkRef's are those of the root that names it. TreeBuilder makes the one of the other.
struct LentRef {
  ChunkRef chunk;
};

class WriterSession {
 public:
  // Writes the session's pin. `parent_key`: of the root of a backup, empty for none.
  // `unfinished_keys`: of what find_unfinished gives. The references must outlive the
  // session.
  WriterSession(const Repository& repository, Clock& clock, WriterId writer, std::string root_key,
                const std::string& parent_key,
                const std::vector<std::string>& unfinished_keys = {});

  [[nodiscard]] const Repository& repository() const { return repository_; }
  [[nodiscard]] const WriterId& writer() const { return writer_; }
  [[nodiscard]] Clock& clock() const { return clock_; }

  // The backup that may be borrowed from; nullptr for none, or a damaged one.
  [[nodiscard]] const Root* parent() const { return parent_ ? &*parent_ : nullptr; }
  // What killed runs left, in the order of their keys; those left out that are gone or damaged.
  [[nodiscard]] const std::vector<Root>& unfinished() const { return unfinished_; }
  // The packs of all of these.
  [[nodiscard]] const PackTable& lenders() const { return lenders_; }

  // Whether this pack of the lenders is there, and neither condemned by a gc nor
  // known to be damaged.
  [[nodiscard]] bool may_borrow(const PackName& pack) const {
    return !condemned_.contains(pack) && !is_damaged(pack);
  }

  // Packs of the lenders that are gone, cut short, or known to be damaged.
  [[nodiscard]] bool is_damaged(const PackName& pack) const { return damaged_.contains(pack); }
  // Of the parent alone: a killed run's may well be gone.
  [[nodiscard]] std::size_t damaged_packs_of_parent() const;

  // Stores under the key that this gives, behind all packs that it names, what this run
  // has stored so far: the next one finds it if this one is killed. `number` from 1.
  struct Object {
    std::string key;
    Bytes bytes;
  };
  [[nodiscard]] Object unfinished_object(Root so_far, std::uint32_t number) const;

  // Step 5; the pin protects nothing any more then, and goes. `root` are the root's bytes.
  // Error{unavailable} when gc has given this writer up in the meantime: then nothing was
  // committed.
  void commit(ByteView root) const;

  // For who will not commit: what it wrote need not be kept for it any longer. Its
  // root key is closed, as gc does with a writer that it takes for dead; a root
  // that is there already stays. That this cannot be done is no error.
  void abandon() const noexcept;

 private:
  void remove_pin() const noexcept;
  void find_damaged_packs();

  const Repository& repository_;
  Clock& clock_;
  WriterId writer_;
  std::string root_key_;
  std::optional<Root> parent_;
  std::vector<Root> unfinished_;
  PackTable lenders_;
  std::set<PackName> condemned_;
  std::set<PackName> damaged_;
};

}  // namespace walvault
