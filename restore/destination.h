// What a restore writes into: the data directory and its tablespaces, held, and emptied first.
#pragma once

#include <string>
#include <vector>

#include "catalog/recovery/recovery_plan.h"
#include "datadir/data_directory_writer.h"
#include "datadir/held_directory.h"
#include "repository/tree_reader.h"
#include "restore/restore.h"

namespace walvault {

// A tablespace, and the directory that it is written to.
struct HeldTablespace {
  Tablespace tablespace;
  HeldDirectory held;
};

// Everything that is written to.
struct Destination {
  const HeldDirectory& data;
  std::vector<HeldTablespace> tablespaces;
  // That are emptied, and of tablespaces that share one.
  std::vector<HeldDirectory> others;
  HeldDirectory wal;  // a pg_wal that is a link

  [[nodiscard]] std::vector<const HeldDirectory*> all() const {
    std::vector<const HeldDirectory*> all{&data};
    for (const auto& each : tablespaces) all.push_back(&each.held);
    if (wal) all.push_back(&wal);
    return all;
  }
};

// Makes the tablespaces' directories where they are missing, and holds them. Two data directories
// may link to one tablespace: a copy of a data directory does. Of those that are emptied only, one
// that cannot be reached any more is not emptied either. Error{conflict} as HeldDirectory.
void hold_tablespaces(Destination& destination, const RestoreRequest& request,
                      const std::vector<Tablespace>& tablespaces);

// What stands there goes, and pg_control first, whatever goes: behind that nothing that is left
// can be started. True: a restore with `delta` that was begun goes on.
[[nodiscard]] bool make_room(TreeReader& tree, const RecoveryPlan& plan,
                             const RestoreRequest& request, const Destination& destination);

// Makes the links to the tablespaces, whose files go to where they lead now.
void link_tablespaces(Destination& destination, DataDirectoryWriter& directory);

// After everything else: it is none any more that may be begun again.
void end_delta(const DataDirectoryWriter& directory);

// What a server's role was when it was backed up is not what the restored one
// is to be: a standby's signal would make it follow the original.
[[nodiscard]] bool is_signal_file(const std::string& path);

}  // namespace walvault
