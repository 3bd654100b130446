#include "catalog/verification/content_reader.h"

#include <algorithm>

#include "postgres/data_page.h"
#include "repository/tree.h"

namespace walvault {
namespace {

class ContentReader {
 public:
  explicit ContentReader(VerifyState& state) : state_(state) {}

  void read_trees() {
    TreeChecker checker(state_.repository, {.jobs = state_.request.jobs});
    // The newest first: it is what most would restore.
    for (auto it = state_.subjects.rbegin(); it != state_.subjects.rend(); ++it) {
      if (it->readable) read_tree(*it, checker);
    }
  }

 private:
  void read_tree(const Subject& subject, TreeChecker& checker) {
    std::vector<PackTask> tasks;
    bool any = false;
    for (const auto& entry : subject.packs.entries()) {
      tasks.push_back(state_.packs[entry.name].task);
      any |= tasks.back() != PackTask::skip;
    }
    const bool is_known = state_.request.max_age &&
                          state_.journal.is_tree_right(subject.root_key, *state_.request.max_age);
    const bool any_faulty = std::ranges::any_of(subject.packs.entries(), [&](const auto& entry) {
      return state_.packs[entry.name].faulty;
    });
    if (any && (any_faulty || !is_known)) {
      const auto object = state_.storage.find(subject.root_key);
      if (!object) return;  // deleted meanwhile
      if (state_.is_deep())
        state_.reporter.info("reading the content of backup " + subject.info.id);
      bool whole = true;
      auto root = decode_root(state_.repository.codec(), *object, subject.root_key);
      if (std::ranges::find(root.streams, "files", &Stream::name) == root.streams.end()) {
        state_.damage_of(subject).add_lost({.why = "It has no list of files."});
        return;
      }
      const auto why = state_.unreadable([&] {
        checker.check(std::move(root), tasks, visitor_of(subject, whole), state_.reporter,
                      {.done = [this](std::uint64_t bytes) { state_.meter(bytes); }});
      });
      if (why) state_.damage_of(subject).add_lost({.why = *why});
      if (!whole || why) {
        state_.journal.note_damaged_tree(subject.root_key);
        return;
      }
    }
    if (!state_.is_deep()) return;
    if (state_.request.sample >= 1 && any && !is_known) state_.journal.note_tree(subject.root_key);
    for (const auto& entry : subject.packs.entries()) {
      auto& state = state_.packs[entry.name];
      if (--state.trees_left > 0 || state.faulty || state.task != PackTask::check ||
          state_.is_partial) {
        continue;
      }
      state_.journal.note_pack(entry.name, VerifyTier::deep);
      if (state_.marked.contains(entry.name)) state_.unmark(entry.name);
    }
    state_.journal.save_when_due();
  }

  TreeCheckVisitor visitor_of(const Subject& subject, bool& whole) {
    const auto& control = subject.info.control;
    const bool has_checksums =
        control.data_checksum_version != 0 && control.block_bytes == data_page_bytes;
    return {.lost =
                [this, &subject, &whole](LostContent content) {
                  whole = false;
                  const std::lock_guard lock(state_.mutex);
                  note_lost_pack(content);
                  state_.damage_of(subject).add_lost(std::move(content));
                },
            .got =
                [this, &subject, &whole, has_checksums](const WantedChunk& wanted, ByteView chunk) {
                  state_.plain_bytes_read += chunk.size();
                  return !state_.is_deep() || !has_checksums ||
                         judge_pages(subject, wanted, chunk, whole);
                }};
  }

  // A pack whose bytes are right as a whole, and whose content is not.
  void note_lost_pack(const LostContent& content) {
    const auto it = content.pack ? state_.packs.find(*content.pack) : state_.packs.end();
    if (it == state_.packs.end() || it->second.faulty) return;
    it->second.faulty = true;
    state_.journal.note_damaged_pack(it->first);
    state_.add_damage(it->first.key(), DamageKind::damaged, content.why);
    state_.mark(it->first, PackDamage::content);
  }

  // Whether all of them were judged, and are right. `whole` gets false where one is not.
  bool judge_pages(const Subject& subject, const WantedChunk& wanted, ByteView chunk, bool& whole) {
    const auto first = first_block_of(*wanted.path, subject.info.control.relation_segment_blocks);
    if (!first) return true;
    bool all_right = true;
    auto block = *first + static_cast<std::uint32_t>(wanted.offset / data_page_bytes);
    for (; chunk.size() >= data_page_bytes; chunk = chunk.subspan(data_page_bytes), ++block) {
      const auto verdict = judge_page(chunk.first(data_page_bytes), block, subject.info.start);
      all_right &= verdict != PageVerdict::written_since && verdict != PageVerdict::wrong;
      if (verdict != PageVerdict::wrong) continue;
      const std::lock_guard lock(state_.mutex);
      whole = false;
      auto& damage = state_.damage_of(subject);
      ++damage.wrong_page_count;
      if (damage.wrong_pages.size() < damage_list_max) {
        damage.wrong_pages.push_back({.path = *wanted.path, .block = block});
      }
    }
    return all_right;
  }

  VerifyState& state_;
};

}  // namespace

void read_trees(VerifyState& state) { ContentReader(state).read_trees(); }

}  // namespace walvault
