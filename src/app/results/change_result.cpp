#include "app/results/change_result.h"

#include <nlohmann/json.hpp>

namespace walvault {

using nlohmann::ordered_json;

ordered_json change_json(const TransactionChange& change, const std::string& restore) {
  ordered_json relations = ordered_json::array();
  for (const auto& relation : change.relations) {
    const auto known = [](const std::string& text) {
      return text.empty() ? ordered_json(nullptr) : ordered_json(text);
    };
    relations.push_back({{"database", known(relation.database)},
                         {"name", known(relation.name)},
                         {"kind", known(relation.kind == 0 ? "" : std::string(1, relation.kind))},
                         {"database_oid", relation.file.database},
                         {"tablespace_oid", relation.file.tablespace},
                         {"file_number", relation.file.number},
                         {"removed", relation.removed},
                         {"rows_deleted", relation.deleted}});
  }
  return {{"xid", change.xid},
          {"end", change.end == TransactionEnd::commit ? "commit" : "abort"},
          {"time", to_rfc3339(change.time)},
          {"lsn", change.lsn.text()},
          {"timeline", change.timeline.value},
          {"what", change_kind_name(change.kind)},
          {"files_removed", change.files_removed},
          {"rows_deleted", change.rows_deleted},
          {"relations", relations},
          {"stop_before_lsn", change.stop.text()},
          {"restore", restore}};
}

}  // namespace walvault
