#include "postgres/client/connect_plan.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <memory>

#include "base/error.h"

namespace walvault {
namespace {

// Those that every major from 13 on knows. search_path follows behind the login: a trigger
// that a superuser made for logins (17) may need his. No code of a database's owner runs before.
constexpr std::string_view pinned_settings =
    "-c default_transaction_isolation=read\\ committed"
    " -c standard_conforming_strings=on"
    " -c statement_timeout=0"
    " -c lock_timeout=0"
    " -c idle_in_transaction_session_timeout=0";

// What libpq waits at least, whatever is asked for.
constexpr int connect_timeout_min_s = 2;
constexpr std::size_t addresses_max = 16;

using Values = std::map<std::string, std::string>;

// Whether the connection string names a database. Error{usage} for one that is
// not understood.
bool names_database(const std::string& conninfo) {
  char* message = nullptr;
  PQconninfoOption* options = PQconninfoParse(conninfo.c_str(), &message);
  const auto why = one_line(message);
  PQfreemem(message);
  if (options == nullptr) {
    throw Error(ErrorKind::usage, "the connection string is not understood", why + ".",
                "Write it as 'host=... port=... user=...', or as a postgresql:// URL.");
  }
  bool found = false;
  for (const auto* option = options; option->keyword != nullptr; ++option) {
    found |= std::string_view(option->keyword) == "dbname" && option->val != nullptr &&
             *option->val != '\0';
  }
  PQconninfoFree(options);
  return found;
}

ConnectParameters own_parameters(const ConnectOptions& options, SessionMode mode,
                                 std::string database) {
  if (!names_database(options.conninfo) && database.empty()) database = "postgres";
  // Parameters after the first dbname override what the connection string says;
  // those before it are defaults that it may override.
  ConnectParameters parameters = {{"keepalives_idle", "30"},    {"keepalives_interval", "10"},
                                  {"keepalives_count", "5"},    {"application_name", "walvault"},
                                  {"dbname", options.conninfo}, {"client_encoding", "UTF8"}};
  if (mode == SessionMode::replication) {
    parameters.emplace_back("replication", "true");
  } else if (!database.empty()) {
    parameters.emplace_back("dbname", database);
  }
  return parameters;
}

// What libpq makes of them, with all that it takes from elsewhere: it reads everything before
// it looks at this value, and with it connects to nobody. Empty: it understands them not.
Values resolved_by_libpq(ConnectParameters parameters) {
  constexpr auto no_mode = "?";
  parameters.emplace_back("sslmode", no_mode);
  const auto connection = start_connecting(parameters);
  const std::string_view message = PQerrorMessage(connection.get());
  if (message.find("sslmode") == std::string_view::npos) return {};
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfo(connection.get()), &PQconninfoFree);
  Values values;
  for (const auto* option = options.get(); option != nullptr && option->keyword != nullptr;
       ++option) {
    if (option->val != nullptr && *option->val != '\0') values[option->keyword] = option->val;
  }
  return values;
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (true) {
    const auto end = text.find(',', begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

// All addresses of a name, when it has several; libpq would stay at the first one that does
// not answer.
std::vector<std::string> addresses_of(const std::string& host) {
  struct addrinfo hints {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  struct addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return {};
  const std::unique_ptr<struct addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<std::string> addresses;
  for (const auto* each = found; each != nullptr; each = each->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (::getnameinfo(each->ai_addr, each->ai_addrlen, text.data(), text.size(), nullptr, 0,
                      NI_NUMERICHOST) != 0) {
      continue;
    }
    const std::string address = text.data();
    if (std::ranges::find(addresses, address) == addresses.end()) addresses.push_back(address);
    if (addresses.size() == addresses_max) break;
  }
  return addresses;
}

// What libpq was built with, whatever PGPORT says.
std::string default_port() {
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(PQconndefaults(),
                                                                             &PQconninfoFree);
  for (const auto* option = options.get(); option != nullptr && option->keyword != nullptr;
       ++option) {
    if (std::string_view(option->keyword) == "port" && option->compiled != nullptr) {
      return option->compiled;
    }
  }
  return "5432";
}

struct Server {
  std::string host;
  std::string address;
  std::string port;

  [[nodiscard]] std::string name() const {
    return (host.empty() ? address : host) + (port.empty() ? "" : ":" + port);
  }
};

// Empty: what the string says is left to libpq.
std::vector<Server> servers_in(const Values& values) {
  const auto list_of = [&](const std::string& keyword) {
    const auto it = values.find(keyword);
    return it == values.end() ? std::vector<std::string>{} : split_list(it->second);
  };
  auto hosts = list_of("host");
  auto addresses = list_of("hostaddr");
  auto ports = list_of("port");
  const auto count = std::max(hosts.size(), addresses.size());
  if (count == 0) return {};
  if (hosts.empty()) hosts.resize(count);
  const bool resolves = addresses.empty();
  if (resolves) addresses.resize(count);
  if (ports.size() <= 1) ports.assign(count, ports.empty() ? "" : ports.front());
  if (hosts.size() != count || addresses.size() != count || ports.size() != count) return {};
  // An empty value would not take the place of the whole list.
  for (auto& port : ports) {
    if (port.empty() && count > 1) port = default_port();
  }
  std::vector<Server> servers;
  for (std::size_t i = 0; i < count; ++i) {
    const Server server{.host = hosts[i], .address = addresses[i], .port = ports[i]};
    const bool is_socket = server.host.starts_with('/') || server.host.starts_with('@');
    // An empty one is a default of libpq's, which cannot be named; nor can it be told that of
    // a list of addresses one is empty, and the host's to be looked up.
    if (count > 1 && server.address.empty() && (server.host.empty() || !resolves)) return {};
    const auto found = resolves && !is_socket && !server.host.empty() ? addresses_of(server.host)
                                                                      : std::vector<std::string>{};
    if (found.size() <= 1) {
      servers.push_back(server);
      continue;
    }
    for (const auto& address : found) {
      servers.push_back({.host = server.host, .address = address, .port = server.port});
    }
  }
  return servers;
}

std::chrono::seconds timeout_of(const Values& values, std::chrono::seconds usual) {
  const auto it = values.find("connect_timeout");
  int seconds = 0;
  if (it != values.end()) {
    std::from_chars(it->second.data(), it->second.data() + it->second.size(), seconds);
  }
  return seconds > 0 ? std::chrono::seconds(std::max(seconds, connect_timeout_min_s)) : usual;
}

}  // namespace

std::string one_line(const char* message) {
  std::string text;
  for (const char c : std::string_view(message == nullptr ? "" : message)) {
    const bool is_space = c == ' ' || c == '\n' || c == '\t';
    if (!is_space) {
      text.push_back(c);
    } else if (!text.empty() && text.back() != ' ') {
      text.push_back(' ');
    }
  }
  while (text.ends_with(' ') || text.ends_with('.')) text.pop_back();
  return text;
}

PqHandle start_connecting(const ConnectParameters& parameters) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : parameters) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  PqHandle connection(PQconnectStartParams(keywords.data(), values.data(), 1), &PQfinish);
  if (!connection) throw std::bad_alloc();
  return connection;
}

std::vector<ConnectAttempt> plan_connection(const ConnectOptions& options, SessionMode mode,
                                            const std::string& database,
                                            const std::string& more_settings) {
  auto parameters = own_parameters(options, mode, database);
  auto values = resolved_by_libpq(parameters);
  // Behind what the user has set there: of two the last counts.
  auto settings = values["options"];
  settings += (settings.empty() ? "" : " ") + std::string(pinned_settings);
  if (!more_settings.empty()) settings += " " + more_settings;
  parameters.emplace_back("options", settings);
  const auto timeout = timeout_of(values, options.connect_timeout);

  const auto servers = servers_in(values);
  if (servers.empty()) return {{.name = {}, .parameters = parameters, .timeout = timeout}};
  // First all for a standby, then all for anything.
  const bool prefers_standby = values["target_session_attrs"] == "prefer-standby";
  std::vector<ConnectAttempt> attempts;
  for (const std::string wanted : {"standby", "any"}) {
    if (!prefers_standby && !attempts.empty()) break;
    for (const auto& server : servers) {
      ConnectAttempt attempt{.name = server.name(), .parameters = parameters, .timeout = timeout};
      const auto set = [&](const std::string& keyword, const std::string& value) {
        if (!value.empty()) attempt.parameters.emplace_back(keyword, value);
      };
      set("host", server.host);
      set("hostaddr", server.address);
      set("port", server.port);
      if (prefers_standby) set("target_session_attrs", wanted);
      attempts.push_back(std::move(attempt));
    }
  }
  return attempts;
}

}  // namespace walvault
