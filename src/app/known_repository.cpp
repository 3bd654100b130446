#include "app/known_repository.h"

#include "app/open_repository.h"
#include "app/user_directory.h"
#include "base/error.h"
#include "repository/object_table.h"

namespace walvault {
namespace {

constexpr std::string_view known_name = "repository id";
constexpr std::uint64_t state_bytes_max = 1u << 20;
// Each user has a memory of its own.
std::string accept_hint(const Storage& storage) {
  return "If its file system is not mounted, mount it. If it was replaced or given up on purpose, "
         "as the same user (" +
         user_name() + "): walvault check --accept-repository --repo " + storage.url();
}

}  // namespace

std::string default_state_directory() {
  return user_directory(
      {.variable = "XDG_STATE_HOME", .of_root = "/var/lib/walvault", .below_home = ".local/state"});
}

KnownRepository::KnownRepository(const Config& config, const RepositoryConfig& place)
    : state_(config.state_path.value_or(default_state_directory()), place.place(), state_bytes_max,
             system_clock()) {}

std::optional<std::string> KnownRepository::id() const {
  const auto kept = state_.find(known_name);
  if (!kept || kept->empty()) return std::nullopt;
  return std::string(as_text(*kept));
}

void KnownRepository::remember(const std::string& id) const {
  state_.keep(known_name, as_bytes(id));
}

void KnownRepository::forget() const { state_.keep(known_name, {}); }

Repository open_known(const Config& config, const RepositoryConfig& place, Storage& storage) {
  const KnownRepository memory(config, place);
  const auto known = memory.id();
  auto opened = [&] {
    try {
      return Repository::open(storage);
    } catch (const Error& error) {
      // Nothing is there, or what somebody put beneath the mount point; or it is damaged.
      const bool is_empty = error.kind() == ErrorKind::not_found;
      const bool has_no_format =
          is_empty || (error.kind() == ErrorKind::corrupt &&
                       storage.list_names(prefix_of(ObjectPlace::format)).empty());
      if (!known || !has_no_format) throw;
      throw Error(
          ErrorKind::unavailable,
          "the repository that this machine knows at " + storage.url() + " is not there",
          "It was repository " + *known + "; " +
              (is_empty ? "nothing is there now." : "what is there now has no format object."),
          accept_hint(storage) + (is_empty ? ""
                                           : " If it is that one, and has lost its format "
                                             "object: walvault repair."));
    }
  }();
  if (!known) {
    memory.remember(opened.id());
  } else if (*known != opened.id()) {
    throw Error(ErrorKind::conflict,
                "another repository is at " + storage.url() + " than this machine knows there",
                "Known is " + *known + ", found is " + opened.id() + ". Nothing was written.",
                accept_hint(storage));
  }
  return opened;
}

std::optional<std::string> accept_repository(const Config& config, const RepositoryConfig& place,
                                             RandomId writer) {
  const auto storage = open_storage(config, place, writer);
  std::optional<std::string> id;
  try {
    id = Repository::open(*storage).id();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::not_found) throw;
  }
  const KnownRepository memory(config, place);
  if (id) {
    memory.remember(*id);
  } else {
    memory.forget();
  }
  if (memory.id() == id) return id;
  throw Error(ErrorKind::unavailable, "the repository cannot be remembered",
              "\"" + memory.path() + "\" cannot be written.",
              "Name another directory, [state] path in the configuration file.");
}

}  // namespace walvault
