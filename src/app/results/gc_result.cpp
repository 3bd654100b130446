#include "app/results/gc_result.h"

#include <nlohmann/json.hpp>

namespace walvault {

nlohmann::ordered_json gc_json(const GcReport& report, std::uint64_t leftover_bytes, bool dry_run) {
  return {{"packs", report.packs},
          {"pack_bytes", report.pack_bytes},
          {"dead_packs", report.dead_packs},
          {"dead_bytes", report.dead_bytes},
          {"deleted_packs", report.deleted_packs},
          {"deleted_bytes", report.deleted_bytes},
          {"leftover_bytes", leftover_bytes},
          {"running", report.running},
          {"given_up", report.given_up},
          {"dry_run", dry_run}};
}

}  // namespace walvault
