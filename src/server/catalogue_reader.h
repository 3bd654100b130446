// Asks a server for the names of its relations.
#pragma once

#include "catalog/records/catalogue_snapshot.h"
#include "postgres/client/connect_options.h"

namespace walvault {

// Over SQL, one database after another. A database that cannot be connected to
// says so in the snapshot. Error{unavailable} when the server itself cannot be
// asked.
[[nodiscard]] CatalogueSnapshot read_catalogue(const ConnectOptions& options, Timestamp now);

// The same, into the repository; nothing depends on it, so that a failure comes
// back as words. Empty: it went well.
[[nodiscard]] std::string store_catalogue(const Repository& repository,
                                          const ClusterIdentity& identity,
                                          const ConnectOptions& options, Timestamp now);

}  // namespace walvault
