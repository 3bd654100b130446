// From the configuration, the AWS_* variables and the shared credentials file
// to an object store.
#pragma once

#include <optional>
#include <string>

#include "storage/s3/s3_client.h"

namespace walvault {

// What [repository] says for object stores; what it leaves out is looked for in the
// environment. nullopt: not said.
struct ObjectStoreConfig {
  std::optional<std::string> endpoint;
  std::optional<std::string> region;
  std::optional<bool> path_style;
  std::optional<std::string> ca_file;
  bool allow_http = false;
  std::optional<std::string> access_key_id;
  std::optional<std::string> secret_access_key;
  std::optional<std::string> session_token;
  std::optional<std::string> credentials_command;
  std::optional<std::string> credentials_file;
  std::optional<std::string> profile;
};

// `url`: s3://bucket or s3://bucket/prefix. Error{usage} for what is wrong in it or
// in the settings.
[[nodiscard]] S3Settings object_store_settings(const std::string& url,
                                               const ObjectStoreConfig& config);

// The first that there are: those of the configuration (keys, a command, a file or
// profile), those of AWS_ACCESS_KEY_ID, those of the shared credentials file.
// Error{usage} where there are none, or where others than its owner and group may
// read the file.
[[nodiscard]] S3Credentials load_credentials(const ObjectStoreConfig& config);

// Error{usage} when others than its owner and group may read the file.
void expect_private(const std::string& path, const std::string& what);

}  // namespace walvault
