#include "maintenance/further_repositories.h"

#include "app/log.h"

namespace walvault {

void for_each_further(Program& program, const std::string& undone,
                      const std::function<void(const Repository& further)>& action) {
  const auto& config = program.config();
  for (const auto& [number, place] : config.archived_beside()) {
    try {
      const auto there = open_repository(config, place, program.writer());
      action(there.repository);
    } catch (const Error& error) {
      const auto where = "in repository " + std::to_string(number) + ", " + place.url + ", " +
                         undone + ": " + error.message();
      if (place.required) {
        throw Error(error.kind(), where, error.detail(),
                    error.hint() + (error.hint().empty() ? "" : " ") +
                        "In the first repository it is done; walvault copy --to " +
                        std::to_string(number) + " does it there.");
      }
      log_warning(where + ": " + error.detail() + " walvault copy does it there.");
    }
  }
}

}  // namespace walvault
