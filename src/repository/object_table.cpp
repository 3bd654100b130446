#include "repository/object_table.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace walvault {
namespace {

constexpr std::string_view derived_loss = "derived: nothing is lost with it, and it may be removed";
constexpr std::string_view pin_loss =
    "what a running command relies on: gc and expire stop until it is readable or removed";
constexpr std::string_view plan_loss =
    "which packs a gc is deleting: backups and copies stop; walvault gc --exclusive removes it";
constexpr std::string_view announcement_loss =
    "which WAL is being deleted: backups and expire of the cluster stop";

constexpr std::array table{
    ObjectPlaceInfo{.place = ObjectPlace::format,
                    .prefix = "format/",
                    .kind = ObjectKind::format,
                    .scope = Scope::repository,
                    .key_class = KeyClass::plain,
                    .cached = Cached::by_archiving,
                    .copied = Copied::no,
                    .deleted_by = "nobody",
                    .what = "what the repository is, and what a program must know to use it",
                    .loss = {}},
    ObjectPlaceInfo{.place = ObjectPlace::clusters,
                    .prefix = "clusters/",
                    .kind = ObjectKind::cluster,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::catalogue,
                    .cached = Cached::by_archiving,
                    .copied = Copied::anew,
                    .deleted_by = "nobody",
                    .what = "the registration of a cluster",
                    .loss = {}},
    ObjectPlaceInfo{.place = ObjectPlace::branches,
                    .prefix = "branches/",
                    .kind = ObjectKind::branch,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::catalogue,
                    .cached = Cached::by_recovery,
                    .copied = Copied::anew,
                    .deleted_by = "nobody",
                    .what = "that a timeline was set aside",
                    .loss = {}},
    ObjectPlaceInfo{.place = ObjectPlace::packs,
                    .prefix = "packs/",
                    .kind = ObjectKind::pack,
                    .is_sealed = false,
                    .scope = Scope::repository,
                    .key_class = KeyClass::content,
                    .cached = Cached::no,
                    .copied = Copied::as_it_is,
                    .deleted_by = "gc",
                    .what = "the content of backups",
                    .loss = {}},
    ObjectPlaceInfo{.place = ObjectPlace::backups,
                    .prefix = "backups/",
                    .kind = ObjectKind::root,
                    .is_sealed = false,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::catalogue,
                    .cached = Cached::lasting,
                    .copied = Copied::as_it_is,
                    .deleted_by = "expire, backups delete",
                    .what = "a backup",
                    .loss = {}},
    ObjectPlaceInfo{.place = ObjectPlace::pins,
                    .prefix = "pins/",
                    .kind = ObjectKind::pin,
                    .scope = Scope::repository,
                    .key_class = KeyClass::catalogue,
                    .cached = Cached::no,
                    .copied = Copied::no,
                    .deleted_by = "the run that put it, gc",
                    .what = "what a run in progress relies on",
                    .loss = pin_loss},
    ObjectPlaceInfo{.place = ObjectPlace::plans,
                    .prefix = "plans/",
                    .kind = ObjectKind::plan,
                    .scope = Scope::repository,
                    .key_class = KeyClass::plain,
                    .cached = Cached::no,
                    .copied = Copied::no,
                    .deleted_by = "gc",
                    .what = "which packs a gc is about to delete",
                    .loss = plan_loss},
    ObjectPlaceInfo{.place = ObjectPlace::unfinished,
                    .prefix = "unfinished/",
                    .kind = ObjectKind::root,
                    .is_sealed = false,
                    .scope = Scope::repository,
                    .key_class = KeyClass::catalogue,
                    .is_derived = true,
                    .cached = Cached::no,
                    .copied = Copied::no,
                    .deleted_by = "gc",
                    .what = "what a backup in progress has stored so far",
                    .loss = derived_loss},
    ObjectPlaceInfo{.place = ObjectPlace::wal,
                    .prefix = "wal/",
                    .kind = ObjectKind::wal,
                    .is_sealed = false,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::content,
                    .cached = Cached::no,
                    .copied = Copied::as_it_is,
                    .deleted_by = "expire",
                    .what = "archived WAL",
                    .loss = {}},
    ObjectPlaceInfo{.place = ObjectPlace::ledgers,
                    .prefix = "wal-ledger/",
                    .kind = ObjectKind::ledger,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::catalogue,
                    .is_derived = true,
                    .cached = Cached::lasting,
                    .copied = Copied::no,
                    .deleted_by = "expire",
                    .what = "what a whole directory of segments says of its WAL",
                    .loss = derived_loss},
    ObjectPlaceInfo{.place = ObjectPlace::accepted_gaps,
                    .prefix = "accepted-gaps/",
                    .kind = ObjectKind::accepted_gap,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::catalogue,
                    .cached = Cached::no,
                    .copied = Copied::anew,
                    .deleted_by = "nobody",
                    .what = "that a gap in the WAL was accepted",
                    .loss = "that a gap was accepted"},
    ObjectPlaceInfo{.place = ObjectPlace::left,
                    .prefix = "left/",
                    .kind = ObjectKind::left_timeline,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::catalogue,
                    .cached = Cached::no,
                    .copied = Copied::anew,
                    .deleted_by = "nobody",
                    .what = "that a timeline was left for another one",
                    .loss = "that a timeline was left: say it again with walvault timeline "
                            "abandon"},
    ObjectPlaceInfo{.place = ObjectPlace::catalogues,
                    .prefix = "catalogues/",
                    .kind = ObjectKind::catalogue,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::content,
                    .cached = Cached::lasting,
                    .copied = Copied::anew,
                    .deleted_by = "nobody",
                    .what = "the names of relations",
                    .loss = "names for walvault find"},
    ObjectPlaceInfo{.place = ObjectPlace::keeps,
                    .prefix = "keeps/",
                    .kind = ObjectKind::keep,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::catalogue,
                    .cached = Cached::no,
                    .copied = Copied::anew,
                    .deleted_by = "nobody",
                    .what = "how long a backup is kept whatever the policy says",
                    .loss = "how long a backup is kept: decide again with walvault backups keep"},
    ObjectPlaceInfo{.place = ObjectPlace::deleted,
                    .prefix = "deleted/",
                    .kind = ObjectKind::deleted,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::catalogue,
                    .cached = Cached::no,
                    .copied = Copied::no,
                    .deleted_by = "nobody",
                    .what = "that a backup was deleted",
                    .loss = "that a backup was deleted"},
    ObjectPlaceInfo{.place = ObjectPlace::wal_expiry,
                    .prefix = "wal-expiry/",
                    .kind = ObjectKind::wal_expiry,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::catalogue,
                    .cached = Cached::no,
                    .copied = Copied::no,
                    .deleted_by = "expire",
                    .what = "that WAL is about to be deleted",
                    .loss = announcement_loss},
    ObjectPlaceInfo{.place = ObjectPlace::damaged,
                    .prefix = "damaged/",
                    .kind = ObjectKind::damaged_pack,
                    .scope = Scope::repository,
                    .key_class = KeyClass::plain,
                    .is_derived = true,
                    .cached = Cached::no,
                    .copied = Copied::no,
                    .deleted_by = "gc, verify",
                    .what = "that a pack was found damaged",
                    .loss = derived_loss},
    ObjectPlaceInfo{.place = ObjectPlace::verified,
                    .prefix = "verified/",
                    .kind = ObjectKind::verified,
                    .scope = Scope::repository,
                    .key_class = KeyClass::plain,
                    .is_derived = true,
                    .cached = Cached::no,
                    .copied = Copied::no,
                    .deleted_by = "verify",
                    .what = "what was verified, and when",
                    .loss = derived_loss},
    ObjectPlaceInfo{.place = ObjectPlace::readers,
                    .prefix = "readers/",
                    .kind = ObjectKind::tombstone,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::catalogue,
                    .is_derived = true,
                    .cached = Cached::no,
                    .copied = Copied::no,
                    .deleted_by = "nobody",
                    .what = "that a reader was given up",
                    .loss = derived_loss},
    ObjectPlaceInfo{.place = ObjectPlace::root_copies,
                    .prefix = "root-copies/",
                    .kind = ObjectKind::root_copy,
                    .scope = Scope::cluster,
                    .key_class = KeyClass::catalogue,
                    .is_derived = true,
                    .cached = Cached::no,
                    .copied = Copied::anew,
                    .deleted_by = "expire, backups delete",
                    .what = "a second copy of a backup's root",
                    .loss = derived_loss},
};

// So that info_of may count.
static_assert([] {
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table.at(i).place != static_cast<ObjectPlace>(i)) return false;
  }
  return table.back().place == ObjectPlace::root_copies;
}());

std::string_view words(KeyClass key_class) {
  switch (key_class) {
    case KeyClass::plain: return "plain";
    case KeyClass::catalogue: return "catalogue";
    case KeyClass::content: return "content";
  }
  throw Error(ErrorKind::internal, "a class of keys without a name");
}

std::string_view words(Cached cached) {
  switch (cached) {
    case Cached::no: return "no";
    case Cached::by_archiving: return "a minute";
    case Cached::by_recovery: return "a minute, by recovery";
    case Cached::lasting: return "yes";
  }
  throw Error(ErrorKind::internal, "a use of the cache without a name");
}

std::string_view words(Copied copied) {
  switch (copied) {
    case Copied::as_it_is: return "as it is";
    case Copied::anew: return "put anew";
    case Copied::no: return "no";
  }
  throw Error(ErrorKind::internal, "a way of copying without a name");
}

}  // namespace

std::span<const ObjectPlaceInfo> object_table() { return table; }

const ObjectPlaceInfo& info_of(ObjectPlace place) {
  return table.at(static_cast<std::size_t>(place));
}

std::string_view prefix_of(ObjectPlace place) { return info_of(place).prefix; }

std::string prefix_of(ObjectPlace place, std::string_view cluster) {
  std::string prefix(prefix_of(place));
  return prefix.append(cluster).append("/");
}

std::optional<ObjectPlace> place_of(std::string_view key) {
  const auto it = std::ranges::find_if(
      table, [&](const ObjectPlaceInfo& info) { return key.starts_with(info.prefix); });
  return it == table.end() ? std::nullopt : std::optional(it->place);
}

std::string object_table_page() {
  std::string page =
      "# What lies in a repository\n"
      "\n"
      "This page is made from `src/repository/object_table.cpp`, as are the objects that\n"
      "`verify` looks for and what is remembered on a machine; tests hold `copy`, and whatever\n"
      "is left in a repository, to it. The bytes of each kind are in\n"
      "[repository-format.md](repository-format.md).\n"
      "\n"
      "| keys begin with | kind | what it is |\n"
      "|---|---|---|\n";
  const auto row = [&](std::initializer_list<std::string_view> cells) {
    for (const auto cell : cells) page.append("| ").append(cell).append(" ");
    page.append("|\n");
  };
  const auto key = [](const ObjectPlaceInfo& info) {
    std::string text("`");
    text.append(info.prefix).append(info.scope == Scope::cluster ? "<cluster>/`" : "`");
    return text;
  };
  for (const auto& info : table) {
    row({key(info), std::to_string(static_cast<unsigned>(info.kind)), info.what});
  }
  page +=
      "\n"
      "**Deleted by** says which commands delete an object. A host that only archives and takes\n"
      "backups needs no permission to delete: it deletes its own pins if it may, and else leaves\n"
      "them to gc.\n"
      "**Derived** objects can be made again from others. **Copied**: how `walvault copy` brings\n"
      "an object to another repository. **Cached**: whether `[cache]` may remember it.\n"
      "**Class**: which keys will open it when a repository can be encrypted. Plain objects\n"
      "contain only names and times.\n"
      "\n"
      "| keys begin with | deleted by | derived | copied | cached | class |\n"
      "|---|---|---|---|---|---|\n";
  for (const auto& info : table) {
    row({key(info), info.deleted_by, info.is_derived ? "yes" : "no", words(info.copied),
         words(info.cached), words(info.key_class)});
  }
  page +=
      "\n"
      "If one of these objects is lost, `walvault verify` names no backups or moments that are\n"
      "lost with it. It says this instead:\n"
      "\n"
      "| keys begin with | what is lost |\n"
      "|---|---|\n";
  for (const auto& info : table) {
    if (!info.loss.empty()) row({key(info), info.loss});
  }
  return page;
}

}  // namespace walvault
