#include "app/config_table.h"

#include <array>

#include "base/format.h"
#include "repository/tree.h"

namespace walvault {
namespace {

// Where values go that a key gives as they are.
template <auto member>
void store_text(RepositoryConfig& place, const KeyReader& key) {
  place.object_store.*member = key.text();
}
template <auto member>
void store_flag(RepositoryConfig& place, const KeyReader& key) {
  place.object_store.*member = key.flag();
}
template <auto member, std::int64_t least, std::int64_t most>
void number(Config& config, const KeyReader& key) {
  config.*member = key.number(least, most);
}
template <auto member, std::int64_t least>
void retention_number(ClusterConfig& cluster, const KeyReader& key) {
  cluster.retention.*member = key.number(least, keep_max);
}
template <auto member>
void retention_time(ClusterConfig& cluster, const KeyReader& key) {
  cluster.retention.*member = key.duration();
}

// Of every place of a repository: [repository] and [repository.N].
constexpr std::array place_table = {
    Key<RepositoryConfig>{
        {"url",
         "Where everything is stored: an absolute path, file:///path, or s3://BUCKET/PREFIX. It "
         "has to be set here or given as --repo.",
         "", "\"/backup/walvault\"", true},
        [](RepositoryConfig& place, const KeyReader& key) { place.url = key.text(); }},
    Key<RepositoryConfig>{
        {"mode",
         "Who may access the repository directory: \"0700\" (its owner), \"0750\" (its group may "
         "read) or \"0770\" (its group may write, for several users of one repository). Files get "
         "the same rights. Set it to the same value on every host that writes there.",
         "\"0700\"", "\"0750\""},
        [](RepositoryConfig& place, const KeyReader& key) {
          const auto mode = key.choice({"0700", "0750", "0770"});
          place.mode = mode == "0770" ? 0770 : mode == "0750" ? 0750 : 0700;
        }},
    Key<RepositoryConfig>{
        {"endpoint",
         "For s3:// only, like the keys down to profile: the address of the object store, "
         "https://HOST[:PORT]. docs/object-storage.md says where each of these is looked for when "
         "it is not set here.",
         "AWS", "\"https://ceph.example.com:7480\""},
        store_text<&ObjectStoreConfig::endpoint>},
    Key<RepositoryConfig>{{"region", "The region of the bucket.", "us-east-1", "\"eu-central-1\""},
                          store_text<&ObjectStoreConfig::region>},
    Key<RepositoryConfig>{
        {"path_style", "Whether the bucket's name is part of the path instead of the host name.",
         "true with an endpoint, or with dots in the bucket's name", "true"},
        store_flag<&ObjectStoreConfig::path_style>},
    Key<RepositoryConfig>{{"ca_file", "The certificate authorities that may vouch for the store.",
                           "those of the system", "\"/etc/ssl/certs/company.pem\""},
                          store_text<&ObjectStoreConfig::ca_file>},
    Key<RepositoryConfig>{
        {"allow_http", "Whether a connection without encryption is allowed.", "false", "true"},
        store_flag<&ObjectStoreConfig::allow_http>},
    Key<RepositoryConfig>{
        {"access_key_id",
         "Credentials. A file that contains them must not be readable by everybody (chmod o-rwx).",
         "", "\"\""},
        store_text<&ObjectStoreConfig::access_key_id>},
    Key<RepositoryConfig>{
        {"secret_access_key", "The secret that belongs to access_key_id.", "", "\"\""},
        [](RepositoryConfig& place, const KeyReader& key) {
          place.object_store.secret_access_key = key.text();
          expect_private(key.path(), "the configuration file \"" + key.path() + "\"");
        }},
    Key<RepositoryConfig>{
        {"session_token", "The token that belongs to temporary credentials.", "", "\"\""},
        [](RepositoryConfig& place, const KeyReader& key) {
          place.object_store.session_token = key.text();
          expect_private(key.path(), "the configuration file \"" + key.path() + "\"");
        }},
    Key<RepositoryConfig>{
        {"credentials_command",
         "Instead of keys: a shell command that prints them as JSON, as the credential_process of "
         "AWS does.",
         "", "\"/usr/local/bin/backup-credentials\""},
        store_text<&ObjectStoreConfig::credentials_command>},
    Key<RepositoryConfig>{
        {"credentials_file", "Instead of keys: a shared credentials file.",
         "$AWS_SHARED_CREDENTIALS_FILE, or ~/.aws/credentials", "\"/etc/walvault/credentials\""},
        store_text<&ObjectStoreConfig::credentials_file>},
    Key<RepositoryConfig>{
        {"profile", "The section of that file.", "$AWS_PROFILE, or default", "\"default\""},
        store_text<&ObjectStoreConfig::profile>},
    Key<RepositoryConfig>{
        {"retry_for", "How long requests to a store that does not answer are repeated.", "\"2min\"",
         "\"2min\""},
        [](RepositoryConfig& place, const KeyReader& key) { place.retry_for = key.duration(); }},
};

// Of [repository.N] alone.
constexpr std::array further_table = {
    Key<RepositoryConfig>{
        {"required",
         "Whether archiving waits while this repository cannot be reached. With false archiving "
         "continues, with a warning for each segment.",
         "true", "false"},
        [](RepositoryConfig& place, const KeyReader& key) { place.required = key.flag(); }},
};

// Of [repository] alone.
constexpr std::array content_table = {
    Key<Config>{
        {"compression",
         "How data files are compressed: none, lz4, zstd, or zstd:LEVEL with a level from -7 to "
         "19. You can change it at any time. With a zstd library before 1.5.5, levels above 12 "
         "count as 12: such a library may write data at these levels that cannot be decompressed.",
         "\"zstd:1\"", "\"zstd:1\"", true},
        [](Config& config, const KeyReader& key) { config.data_compression = key.compression(); }},
    Key<Config>{
        {"delta",
         "Whether a changed chunk is stored as the difference from the previous backup: auto, "
         "always or never. auto means always in a directory. In an object store it means: only "
         "while reading the old chunks takes at most four times as long as storing the bytes that "
         "this saves, which a backup measures while it runs. What is already stored does not "
         "change.",
         "\"auto\"", "\"auto\"", true},
        [](Config& config, const KeyReader& key) {
          const auto delta = key.choice({"auto", "always", "never"});
          config.always_deltas = delta == "always";
          config.makes_deltas = delta != "never";
        }},
    Key<Config>{
        {"delta_depth",
         "How many differences may build on one another, 1 to 8. More need slightly less space "
         "and make restores read more.",
         "4", "4", true},
        number<&Config::delta_depth_max, 1, delta_bases_max>},
    Key<Config>{
        {"wal_compression", "How WAL is compressed. The values are those of compression.",
         "\"zstd:1\"", "\"zstd:1\"", true},
        [](Config& config, const KeyReader& key) { config.wal_compression = key.compression(); }},
};

constexpr std::array cache_table = {
    Key<Config>{
        {"path", "The directory.", "/var/cache/walvault for root, ~/.cache/walvault for others",
         "\"/var/cache/walvault\""},
        [](Config& config, const KeyReader& key) {
          config.cache_path = key.text();
          if (!config.cache_path->starts_with('/')) throw key.refused("wants an absolute path.");
        }},
    Key<Config>{{"size", "About how much is kept for each store.", "\"256MB\"", "\"256MB\""},
                [](Config& config, const KeyReader& key) {
                  config.cache_bytes = parse_size(key.text(), key.where());
                }},
};

constexpr std::array state_table = {
    Key<Config>{{"path", "The directory.",
                 "/var/lib/walvault for root, ~/.local/state/walvault "
                 "for others",
                 "\"/var/lib/walvault\""},
                [](Config& config, const KeyReader& key) {
                  config.state_path = key.text();
                  if (!config.state_path->starts_with('/')) {
                    throw key.refused("wants an absolute path.");
                  }
                }},
};

constexpr std::array defaults_table = {
    Key<Config>{
        {"jobs", "How many threads compress and decompress.",
         "one for each processor; with an object store, whose answers they wait for, at least 8",
         "4"},
        number<&Config::jobs, 1, jobs_max>},
};

constexpr std::array archive_table = {
    Key<Config>{
        {"ahead",
         "How many waiting segments a call of walvault-archive archives along with its own, so "
         "that their calls find them done. It leaves notes in a directory beside the data "
         "directory (DATA.walvault-archived). 0 means none.",
         "15; 64 with an object store", "15"},
        number<&Config::archive_ahead, 0, archive_ahead_max>},
};

constexpr std::array fetch_table = {
    Key<Config>{
        {"retry_for",
         "How long walvault-fetch repeats its requests while the repository cannot be reached, "
         "before it stops the recovery. Units: ms, s, min, h, d, w.",
         "\"5min\"", "\"5min\"", true},
        [](Config& config, const KeyReader& key) {
          (void)key.duration();
          config.fetch_retry_for = key.text();
        }},
    Key<Config>{
        {"prefetch",
         "How many segments are fetched ahead while PostgreSQL replays, into a directory beside "
         "the data directory (DATA.walvault-spool). 0 means none.",
         "8; 24 with an object store", "8"},
        number<&Config::fetch_prefetch, 0, prefetch_max>},
};

constexpr std::array cluster_table = {
    Key<ClusterConfig>{
        {"pg",
         "How to connect for base backups: a libpq connection string or URL. Put a password into "
         "~/.pgpass rather than here.",
         "", "\"host=/run/postgresql user=postgres\"", true},
        [](ClusterConfig& cluster, const KeyReader& key) { cluster.pg = key.text(); }},
    Key<ClusterConfig>{
        {"keep_last",
         "The rules down to window say which backups walvault expire keeps. A backup is kept if "
         "any rule keeps it; without a rule, nothing is deleted. docs/operations.md, "
         "\"Retention\", has recipes. This one keeps this many of the newest backups.",
         "", "7"},
        retention_number<&RetentionPolicy::keep_last, 0>},
    Key<ClusterConfig>{{"keep_for", "Keeps every backup for this time: h, d, w.", "", "\"30d\""},
                       retention_time<&RetentionPolicy::keep_for>},
    Key<ClusterConfig>{
        {"keep_daily", "Keeps the newest backup of each of the last N days that have one.", "",
         "30"},
        retention_number<&RetentionPolicy::keep_daily, 0>},
    Key<ClusterConfig>{
        {"keep_weekly", "Keeps the newest backup of each of the last N weeks that have one.", "",
         "12"},
        retention_number<&RetentionPolicy::keep_weekly, 0>},
    Key<ClusterConfig>{
        {"keep_monthly", "Keeps the newest backup of each of the last N months that have one.", "",
         "12"},
        retention_number<&RetentionPolicy::keep_monthly, 0>},
    Key<ClusterConfig>{
        {"keep_yearly", "Keeps the newest backup of each of the last N years that have one.", "",
         "2"},
        retention_number<&RetentionPolicy::keep_yearly, 0>},
    Key<ClusterConfig>{{"window", "Keeps every moment of this time restorable.", "", "\"30d\""},
                       retention_time<&RetentionPolicy::window>},
    Key<ClusterConfig>{
        {"minimum_backups", "The newest backups that are kept whatever the rules say.", "1", "3"},
        retention_number<&RetentionPolicy::minimum_backups, 1>},
    Key<ClusterConfig>{
        {"expire",
         "Whether walvault backup runs walvault expire when it is done, unless the backup has "
         "damaged pages.",
         "false", "true"},
        [](ClusterConfig& cluster, const KeyReader& key) { cluster.expire = key.flag(); }},
};

}  // namespace

Keys<RepositoryConfig> place_keys() { return place_table; }
Keys<RepositoryConfig> further_keys() { return further_table; }
Keys<Config> content_keys() { return content_table; }
Keys<Config> cache_keys() { return cache_table; }
Keys<Config> state_keys() { return state_table; }
Keys<Config> defaults_keys() { return defaults_table; }
Keys<Config> archive_keys() { return archive_table; }
Keys<Config> fetch_keys() { return fetch_table; }
Keys<ClusterConfig> cluster_keys() { return cluster_table; }

}  // namespace walvault
