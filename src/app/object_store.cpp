#include "app/object_store.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/run_command.h"
#include "storage/storage.h"

namespace walvault {
namespace {

constexpr std::string_view scheme = "s3://";
constexpr std::chrono::seconds command_timeout{30};
constexpr std::size_t command_bytes_max = 64u << 10;
constexpr std::uint64_t file_bytes_max = 1u << 20;

std::optional<std::string> environment(std::initializer_list<const char*> names) {
  for (const auto* const name : names) {
    const char* const value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return std::nullopt;
}

std::optional<std::string> either(const std::optional<std::string>& configured,
                                  std::initializer_list<const char*> names) {
  return configured ? configured : environment(names);
}

Error bad_url(const std::string& url, std::string detail) {
  return {ErrorKind::usage, "\"" + url + "\" is not a place in an object store", std::move(detail),
          "Write s3://BUCKET or s3://BUCKET/PREFIX; keys and endpoint go into [repository] of the "
          "configuration file."};
}

bool is_bucket_name(std::string_view name) {
  return name.size() >= 3 && name.size() <= 63 && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

std::string checked_endpoint(std::string endpoint, bool allow_http) {
  const auto refuse = [&](std::string detail, std::string hint) {
    // What stands before an '@' may be a secret.
    const auto shown = endpoint.find('@') == std::string::npos ? endpoint : "...";
    return Error(ErrorKind::usage, "the endpoint \"" + shown + "\" cannot be used",
                 std::move(detail), std::move(hint));
  };
  if (endpoint.find("://") == std::string::npos) endpoint.insert(0, "https://");
  while (endpoint.ends_with('/') && !endpoint.ends_with("://")) endpoint.pop_back();
  const bool plain = endpoint.starts_with("http://");
  if (!plain && !endpoint.starts_with("https://")) {
    throw refuse("Its scheme is neither https nor http.", "Write https://HOST[:PORT].");
  }
  const auto host = std::string_view(endpoint).substr(endpoint.find("://") + 3);
  if (host.empty() || host.find_first_of("/?#@ ") != std::string_view::npos) {
    throw refuse("A host and a port are expected, and nothing else.", "Write https://HOST[:PORT].");
  }
  if (plain && !allow_http) {
    throw refuse("Over http, anybody on the way can read what is stored, and change it.",
                 "Use https, or allow it with allow_http = true in [repository].");
  }
  return endpoint;
}

// With any number of digits behind the second.
Timestamp parse_expiration(const std::string& command, std::string text) {
  if (const auto dot = text.find('.'); dot != std::string::npos) {
    const auto end = text.find_first_not_of("0123456789", dot + 1);
    text.erase(dot, (end == std::string::npos ? text.size() : end) - dot);
  }
  try {
    return parse_timestamp(text);
  } catch (const Error&) {
    throw Error(ErrorKind::unavailable, "the command \"" + command + "\" did not print credentials",
                "Its Expiration is not a time.", "It is written as 2026-11-22T10:00:00Z.");
  }
}

S3Credentials from_command(const std::string& command) {
  const auto text = run_command(command, command_timeout, command_bytes_max);
  const auto answer = nlohmann::json::parse(text, nullptr, false);
  const auto field = [&](const char* name) -> std::string {
    const bool there = answer.is_object() && answer.contains(name) && answer[name].is_string();
    return there ? answer[name].get<std::string>() : "";
  };
  S3Credentials credentials{.access_key = field("AccessKeyId"),
                            .secret_key = field("SecretAccessKey"),
                            .session_token = field("SessionToken"),
                            .expires = {}};
  if (credentials.access_key.empty() || credentials.secret_key.empty()) {
    throw Error(ErrorKind::unavailable, "the command \"" + command + "\" did not print credentials",
                {},
                "It has to print JSON with AccessKeyId and SecretAccessKey, and where they run out "
                "SessionToken and Expiration, as AWS's credential_process does.");
  }
  if (const auto expires = field("Expiration"); !expires.empty()) {
    credentials.expires = parse_expiration(command, expires);
  }
  return credentials;
}

std::string default_credentials_file() {
  if (const auto named = environment({"AWS_SHARED_CREDENTIALS_FILE"})) return *named;
  const auto home = environment({"HOME"});
  return home ? *home + "/.aws/credentials" : "";
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const auto begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(blanks) + 1 - begin));
}

// The keys of one section of an INI file; empty where there is none. What is no
// "key = value" is passed over, as AWS's programs do.
std::map<std::string, std::string> section_of(std::string_view text, const std::string& name) {
  std::map<std::string, std::string> keys;
  bool inside = false;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = trimmed(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.starts_with('[')) {
      inside = trimmed(std::string_view(line).substr(1, line.find(']') - 1)) == name;
    } else if (const auto equals = line.find('='); inside && !line.starts_with('#') &&
                                                   !line.starts_with(';') &&
                                                   equals != std::string::npos) {
      keys[trimmed(std::string_view(line).substr(0, equals))] =
          trimmed(std::string_view(line).substr(equals + 1));
    }
  }
  return keys;
}

// nullopt: there is no such file. Error{usage} for one without that profile.
std::optional<S3Credentials> from_file(const std::string& path, const std::string& profile) {
  if (path.empty() || !find_status(path)) return std::nullopt;
  const auto what = "the credentials file \"" + path + "\"";
  expect_private(path, what);
  const auto keys = section_of(as_text(read_file(path, file_bytes_max)), profile);
  const auto get = [&](const char* name) {
    const auto it = keys.find(name);
    return it == keys.end() ? std::string() : it->second;
  };
  S3Credentials credentials{.access_key = get("aws_access_key_id"),
                            .secret_key = get("aws_secret_access_key"),
                            .session_token = get("aws_session_token"),
                            .expires = {}};
  if (credentials.access_key.empty() || credentials.secret_key.empty()) {
    throw Error(ErrorKind::usage, what + " has no keys in [" + profile + "]", {},
                "Add aws_access_key_id and aws_secret_access_key there, or name another profile "
                "(profile in [repository], or AWS_PROFILE).");
  }
  return credentials;
}

std::optional<S3Credentials> from_environment() {
  const auto key = environment({"AWS_ACCESS_KEY_ID"});
  const auto secret = environment({"AWS_SECRET_ACCESS_KEY"});
  if (!key && !secret) return std::nullopt;
  if (!key || !secret) {
    throw Error(ErrorKind::usage,
                std::string("the environment has ") +
                    (key ? "AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY"
                         : "AWS_SECRET_ACCESS_KEY without AWS_ACCESS_KEY_ID"),
                {}, "Set both, or neither.");
  }
  return S3Credentials{.access_key = *key,
                       .secret_key = *secret,
                       .session_token = environment({"AWS_SESSION_TOKEN"}).value_or(""),
                       .expires = {}};
}

}  // namespace

S3Settings object_store_settings(const std::string& url, const ObjectStoreConfig& config) {
  auto rest = url.substr(scheme.size());
  while (rest.ends_with('/')) rest.pop_back();
  const auto slash = rest.find('/');
  S3Settings settings{.bucket = rest.substr(0, slash)};
  if (rest.find_first_of("@?") != std::string::npos) {
    throw bad_url("s3://...", "Nothing but a bucket and a prefix belong into it: no keys.");
  }
  if (!is_bucket_name(settings.bucket)) {
    throw bad_url(url,
                  "\"" + settings.bucket +
                      "\" is not a bucket name: 3 to 63 lower-case letters, digits, '-', '.'.");
  }
  if (slash != std::string::npos) settings.prefix = rest.substr(slash + 1);
  if (!settings.prefix.empty() && !is_key(settings.prefix)) {
    throw bad_url(
        url, "\"" + settings.prefix +
                 "\" is not a prefix: its parts consist of letters, digits, '-', '_', '.', and "
                 "do not begin with a '.'.");
  }
  if (const auto endpoint = either(config.endpoint, {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"})) {
    settings.endpoint = checked_endpoint(*endpoint, config.allow_http);
  }
  if (const auto region = either(config.region, {"AWS_REGION", "AWS_DEFAULT_REGION"})) {
    settings.region = *region;
  }
  // With AWS the bucket is part of the host's name, but a certificate for *.s3... does
  // not cover a bucket with dots; few others have names for each bucket.
  const bool by_path = !settings.endpoint.empty() || settings.bucket.find('.') != std::string::npos;
  settings.path_style = config.path_style.value_or(by_path);
  settings.http.ca_file = either(config.ca_file, {"AWS_CA_BUNDLE"}).value_or("");
  return settings;
}

void expect_private(const std::string& path, const std::string& what) {
  const auto status = find_status(path);
  if (!status || (status->st_mode & 07) == 0) return;
  throw Error(ErrorKind::usage, what + " can be read by everybody",
              "It holds secrets, and its mode lets others than its owner and group at it.",
              "chmod o-rwx " + path);
}

S3Credentials load_credentials(const ObjectStoreConfig& config) {
  if (config.access_key_id || config.secret_access_key) {
    if (!config.access_key_id || !config.secret_access_key) {
      throw Error(ErrorKind::usage, "[repository] has one of two keys", {},
                  "access_key_id and secret_access_key belong together.");
    }
    return {.access_key = *config.access_key_id,
            .secret_key = *config.secret_access_key,
            .session_token = config.session_token.value_or(""),
            .expires = {}};
  }
  if (config.credentials_command) return from_command(*config.credentials_command);
  const bool file_named = config.credentials_file || config.profile;
  if (!file_named) {
    if (auto credentials = from_environment()) return *credentials;
  }
  const auto path = config.credentials_file.value_or(default_credentials_file());
  const auto profile = either(config.profile, {"AWS_PROFILE"}).value_or("default");
  if (auto credentials = from_file(path, profile)) return *credentials;
  if (file_named) {
    throw Error(ErrorKind::usage, "the credentials file \"" + path + "\" does not exist", {},
                "Check credentials_file and profile in [repository].");
  }
  throw Error(ErrorKind::usage, "there are no credentials for the object store",
              "Neither [repository] nor the environment nor \"" + path + "\" has any.",
              "Set access_key_id and secret_access_key in [repository], or AWS_ACCESS_KEY_ID and "
              "AWS_SECRET_ACCESS_KEY; docs/object-storage.md lists more ways.");
}

}  // namespace walvault
