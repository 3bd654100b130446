#include "server/catalogue_reader.h"

#include <algorithm>

#include "postgres/client/sql_connection.h"

namespace walvault {
namespace {

// The relations that have files, those of all databases among them; a TOAST
// table and its index go by the name of their table. The database may be anybody's: every
// function and operator is PostgreSQL's own by its schema, whatever search_path says.
std::string relations_query(std::size_t limit) {
  return "WITH owner AS (SELECT reltoastrelid AS oid, relname, relnamespace"
         "  FROM pg_catalog.pg_class WHERE reltoastrelid OPERATOR(pg_catalog.<>) 0"
         " UNION ALL SELECT i.indexrelid, c.relname, c.relnamespace FROM pg_catalog.pg_class c"
         "  JOIN pg_catalog.pg_index i ON i.indrelid OPERATOR(pg_catalog.=) c.reltoastrelid"
         "  WHERE c.reltoastrelid OPERATOR(pg_catalog.<>) 0)"
         " SELECT c.oid, pg_catalog.pg_relation_filenode(c.oid),"
         " CASE WHEN c.reltablespace OPERATOR(pg_catalog.=) 0 THEN"
         " (SELECT dattablespace FROM pg_catalog.pg_database"
         "  WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())"
         " ELSE c.reltablespace END,"
         " c.relkind, n.nspname, coalesce(o.relname, c.relname), o.oid IS NOT NULL"
         " FROM pg_catalog.pg_class c"
         " LEFT JOIN owner o ON o.oid OPERATOR(pg_catalog.=) c.oid"
         " JOIN pg_catalog.pg_namespace n"
         "  ON n.oid OPERATOR(pg_catalog.=) coalesce(o.relnamespace, c.relnamespace)"
         " WHERE pg_catalog.pg_relation_filenode(c.oid) IS NOT NULL"
         " ORDER BY 3, 2 LIMIT " +
         std::to_string(limit);
}

void read_relations(const ConnectOptions& options, DatabaseNames& database, std::size_t& left) {
  try {
    const auto sql = connect_sql(options, database.name);
    for (const auto& row : sql->query(relations_query(left))) {
      auto& relation = database.relations.emplace_back();
      relation.oid = sql_number(row.at(0));
      relation.file = {.tablespace = sql_number(row.at(2)),
                       .database = database.oid,
                       .number = sql_number(row.at(1))};
      relation.kind = row.at(3).value_or("r").at(0);
      const bool is_toast_index = relation.kind == 'i' && row.at(6) == "t";
      relation.name = row.at(4).value_or("") + "." + row.at(5).value_or("") +
                      (is_toast_index ? " (TOAST)" : "");
    }
    std::ranges::sort(database.relations, {}, &RelationName::file);
    left -= database.relations.size();
    if (left == 0) database.unknown = "there are too many";
  } catch (const Error& error) {
    database.unknown = error.detail();
  }
}

}  // namespace

CatalogueSnapshot read_catalogue(const ConnectOptions& options, Timestamp now) {
  CatalogueSnapshot snapshot{.lsn = {}, .taken = now, .databases = {}};
  auto quick = options;
  quick.stall_timeout = std::chrono::minutes(1);
  const auto sql = connect_sql(quick);
  // Before the names are read: what is dropped behind it has its name here.
  const auto position = sql->query(
      "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()"
      " ELSE pg_catalog.pg_current_wal_lsn() END");
  snapshot.lsn = Lsn::parse(position.at(0).at(0).value_or("0/0")).value_or(Lsn{});
  auto left = catalogue_relations_max;
  for (const auto& row :
       sql->query("SELECT oid, datname, datallowconn FROM pg_catalog.pg_database ORDER BY oid")) {
    auto& database = snapshot.databases.emplace_back();
    database.oid = sql_number(row.at(0));
    database.name = row.at(1).value_or("");
    if (row.at(2) == "t" && left > 0) {
      read_relations(quick, database, left);
    } else {
      database.unknown = "it does not allow connections";
    }
  }
  return snapshot;
}

std::string store_catalogue(const Repository& repository, const ClusterIdentity& identity,
                            const ConnectOptions& options, Timestamp now) {
  try {
    (void)put_catalogue(repository, identity, read_catalogue(options, now));
    return {};
  } catch (const Error& error) {
    options.check_cancelled();
    return one_line(error);
  }
}

}  // namespace walvault
