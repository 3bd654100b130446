// Where a cluster's server is: the command line wins over the configuration.
#pragma once

#include <optional>
#include <string>

#include "app/config.h"
#include "base/error.h"

namespace walvault {

[[nodiscard]] inline std::string conninfo_for(const Config& config, const std::string& cluster,
                                              const std::optional<std::string>& option) {
  if (option) return *option;
  const auto it = config.clusters.find(cluster);
  if (it != config.clusters.end() && it->second.pg) return *it->second.pg;
  throw Error(ErrorKind::usage, "it is not known how to connect to cluster " + cluster, {},
              "Give --pg 'host=... user=...', or put pg into [cluster." + cluster +
                  "] of the configuration file.");
}

}  // namespace walvault
