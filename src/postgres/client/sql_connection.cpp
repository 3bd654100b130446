#include "postgres/client/sql_connection.h"

#include <charconv>

#include "postgres/client/pq_session.h"

namespace walvault {
namespace {

class PqSqlConnection final : public SqlConnection {
 public:
  PqSqlConnection(ConnectOptions options, const std::string& database)
      : session_(std::move(options), SessionMode::sql, database) {}

  [[nodiscard]] std::vector<SqlRow> query(const std::string& sql) override {
    session_.send(sql);
    const auto result = session_.next_result();
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
      throw session_.failure("run a query", result.get());
    }
    std::vector<SqlRow> rows(static_cast<std::size_t>(PQntuples(result.get())));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      for (int column = 0; column < PQnfields(result.get()); ++column) {
        const auto number = static_cast<int>(row);
        rows[row].push_back(
            PQgetisnull(result.get(), number, column) != 0
                ? std::nullopt
                : std::optional<std::string>(PQgetvalue(result.get(), number, column)));
      }
    }
    session_.expect_end();
    return rows;
  }

 private:
  PqSession session_;
};

}  // namespace

std::uint32_t sql_number(const std::optional<std::string>& field) {
  std::uint32_t number = 0;
  if (field) std::from_chars(field->data(), field->data() + field->size(), number);
  return number;
}

std::unique_ptr<SqlConnection> connect_sql(ConnectOptions options, const std::string& database) {
  return std::make_unique<PqSqlConnection>(std::move(options), database);
}

}  // namespace walvault
