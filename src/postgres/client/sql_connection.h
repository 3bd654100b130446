// A connection on which SQL runs; a replication connection runs none.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "postgres/client/connect_options.h"

namespace walvault {

using SqlRow = std::vector<std::optional<std::string>>;  // nullopt: NULL

// A field's oid or the like; 0 for NULL and what is none.
[[nodiscard]] std::uint32_t sql_number(const std::optional<std::string>& field);

// Errors as those of a ReplicationConnection. Not thread-safe.
class SqlConnection {
 public:
  virtual ~SqlConnection() = default;

  [[nodiscard]] virtual std::vector<SqlRow> query(const std::string& sql) = 0;
};

// To `database`; when that is empty, to the one that the connection string
// names, else to postgres.
[[nodiscard]] std::unique_ptr<SqlConnection> connect_sql(ConnectOptions options,
                                                         const std::string& database = {});

}  // namespace walvault
