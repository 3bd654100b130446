#include "storage/http/http_client.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "base/error.h"
#include "storage/http/curl_library.h"

namespace walvault {
namespace {

constexpr long receive_buffer_bytes = 256L << 10;
constexpr long send_buffer_bytes = 1L << 20;
constexpr std::size_t headers_max = 200;
constexpr std::uint64_t small_answer_bytes = 64u << 20;
constexpr long open_bytes_per_second_min = 1024;
constexpr std::size_t reserve_max = 64u << 20;

bool is_worth_repeating(CURLcode code) {
  switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WRITE_ERROR: return false;
    default: return true;
  }
}

const char* hint_for(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return "Check the endpoint's name, and path_style where the bucket's name is part of it.";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return "Name the authority that signed the server's certificate as ca_file in [repository] "
             "or as AWS_CA_BUNDLE.";
    default: return "Check the endpoint, and that this machine reaches it.";
  }
}

std::string host_of(const std::string& url) {
  return url.substr(0, url.find('/', url.find("://") + 3));
}

// What one request sends and receives.
struct Exchange {
  const HttpRequest& request;
  HttpResponse response;
  std::size_t part = 0;  // of the content, next to be sent
  std::size_t offset = 0;
  bool too_long = false;
};

std::size_t send_some(char* buffer, std::size_t size, std::size_t count, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  const auto& parts = exchange.request.content.parts();
  std::size_t sent = 0;
  const auto room = size * count;
  while (exchange.part < parts.size() && sent < room) {
    const auto left = parts[exchange.part].subspan(exchange.offset);
    const auto taken = left.first(std::min(left.size(), room - sent));
    std::copy(taken.begin(), taken.end(), buffer + sent);
    sent += taken.size();
    exchange.offset += taken.size();
    if (exchange.offset == parts[exchange.part].size()) {
      ++exchange.part;
      exchange.offset = 0;
    }
  }
  return sent;
}

// libcurl sends again from the start when a kept connection turns out closed.
int send_again(void* context, curl_off_t offset, int origin) {
  auto& exchange = *static_cast<Exchange*>(context);
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  exchange.part = 0;
  exchange.offset = 0;
  return CURL_SEEKFUNC_OK;
}

std::size_t receive_some(char* bytes, std::size_t size, std::size_t count, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  auto& body = exchange.response.body;
  const auto length = size * count;
  if (body.size() + length > exchange.request.answer_bytes_max) {
    exchange.too_long = true;
    return 0;
  }
  try {
    body.insert(body.end(), bytes, bytes + length);
  } catch (const std::bad_alloc&) {
    // Nothing is thrown through C. The request fails.
    return 0;
  }
  return length;
}

std::size_t receive_header(char* bytes, std::size_t size, std::size_t count, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  auto& response = exchange.response;
  const auto length = size * count;
  std::string_view line(bytes, length);
  // A further answer begins: after "100 Continue", or a proxy's.
  if (line.starts_with("HTTP/")) response.headers.clear();
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || response.headers.size() >= headers_max) return length;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  auto value = line.substr(colon + 1);
  while (!value.empty() && std::isspace(static_cast<unsigned char>(value.front())) != 0) {
    value.remove_prefix(1);
  }
  while (!value.empty() && std::isspace(static_cast<unsigned char>(value.back())) != 0) {
    value.remove_suffix(1);
  }
  if (name == "content-length") {
    // A help, not a promise.
    const auto announced = std::strtoull(std::string(value).c_str(), nullptr, 10);
    response.body.reserve(
        std::min<std::uint64_t>({announced, exchange.request.answer_bytes_max, reserve_max}));
  }
  response.headers[name] = value;
  return length;
}

}  // namespace

std::string HttpResponse::header(const std::string& name) const {
  const auto it = headers.find(name);
  return it == headers.end() ? "" : it->second;
}

class HttpClient::Handle {
 public:
  explicit Handle(const CurlLibrary& curl) : curl_(curl), easy_(curl.easy_init()) {
    if (easy_ == nullptr) throw Error(ErrorKind::unavailable, "libcurl cannot begin a request");
  }
  ~Handle() { curl_.easy_cleanup(easy_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  HttpResponse perform(const HttpRequest& request, const HttpOptions& options);

 private:
  template <typename Value>
  void set(CURLoption option, Value value) {
    if (const auto code = curl_.easy_setopt(easy_, option, value); code != CURLE_OK) {
      throw Error(ErrorKind::unavailable, "libcurl does not take an option that walvault needs",
                  std::string(curl_.easy_strerror(code)) + " (option " +
                      std::to_string(static_cast<int>(option)) + ").",
                  "Install libcurl 7.85 or later.");
    }
  }
  void set_method(const HttpRequest& request, Exchange& exchange);

  const CurlLibrary& curl_;
  // libcurl may write to it for as long as there is a handle.
  std::array<char, CURL_ERROR_SIZE> reason_{};
  CURL* easy_;
};

void HttpClient::Handle::set_method(const HttpRequest& request, Exchange& exchange) {
  if (request.method == "PUT" || request.method == "POST") {
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.content.size()));
    set(CURLOPT_READFUNCTION, &send_some);
    set(CURLOPT_READDATA, static_cast<void*>(&exchange));
    set(CURLOPT_SEEKFUNCTION, &send_again);
    set(CURLOPT_SEEKDATA, static_cast<void*>(&exchange));
  }
  if (request.method != "PUT" && request.method != "GET") {
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

HttpResponse HttpClient::Handle::perform(const HttpRequest& request, const HttpOptions& options) {
  Exchange exchange{.request = request, .response = {}};
  reason_ = {};
  // Keeps its connections.
  curl_.easy_reset(easy_);

  curl_slist* list = nullptr;
  const auto add = [&](const std::string& line) {
    auto* const longer = curl_.slist_append(list, line.c_str());
    if (longer != nullptr) list = longer;
  };
  for (const auto& [name, value] : request.headers) {
    auto line = name;
    add(line.append(": ").append(value));
  }
  add("Expect:");  // of "100 Continue": a round trip for each object
  add("Content-Type:");
  const std::unique_ptr<curl_slist, decltype(curl_.slist_free_all)> headers(list,
                                                                            curl_.slist_free_all);

  const auto bytes = request.content.size() + request.expected_bytes;
  const bool is_open = request.expected_bytes == 0 && request.answer_bytes_max > small_answer_bytes;
  const auto total =
      options.total_timeout + std::chrono::seconds(bytes / options.slowest_bytes_per_second);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  set(CURLOPT_LOW_SPEED_LIMIT, is_open ? open_bytes_per_second_min : 1L);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_timeout.count()));
  if (!is_open) {
    set(CURLOPT_TIMEOUT, static_cast<long>(std::min<std::int64_t>(total.count(), 1'000'000)));
  }
  set(CURLOPT_BUFFERSIZE, receive_buffer_bytes);
  set(CURLOPT_UPLOAD_BUFFERSIZE, send_buffer_bytes);
  set(CURLOPT_ERRORBUFFER, reason_.data());
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_WRITEFUNCTION, &receive_some);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&exchange));
  set(CURLOPT_HEADERFUNCTION, &receive_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&exchange));
  if (!options.ca_file.empty()) {
    set(CURLOPT_CAINFO, options.ca_file.c_str());
    // In place of the system's authorities, not beside them.
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  set_method(request, exchange);

  const auto code = curl_.easy_perform(easy_);
  if (exchange.too_long) {
    throw Error(ErrorKind::unavailable, "an answer is longer than it can be",
                "More than " + std::to_string(request.answer_bytes_max) + " bytes came.",
                "Check that the endpoint is an object store's.");
  }
  if (code != CURLE_OK) {
    const std::string evidence = reason_[0] != '\0' ? reason_.data() : curl_.easy_strerror(code);
    Error error(ErrorKind::unavailable, "no answer from " + host_of(request.url), evidence + ".",
                hint_for(code));
    if (is_worth_repeating(code)) throw std::move(error).transient();
    throw error;
  }
  long status = 0;
  (void)curl_.easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  exchange.response.status = static_cast<int>(status);
  return std::move(exchange.response);
}

HttpClient::HttpClient(HttpOptions options) : options_(std::move(options)), process_(::getpid()) {}

HttpClient::~HttpClient() {
  // The parent goes on with these.
  if (process_ != ::getpid()) {
    for (auto& handle : idle_) (void)handle.release();
  }
}

std::unique_ptr<HttpClient::Handle> HttpClient::take_handle() {
  const std::scoped_lock lock(mutex_);
  // After fork() the connections are the parent's: to close them here would
  // tell the server so, and to use them would mix two conversations.
  if (process_ != ::getpid()) {
    for (auto& handle : idle_) (void)handle.release();
    idle_.clear();
    process_ = ::getpid();
  }
  if (idle_.empty()) return std::make_unique<Handle>(CurlLibrary::get());
  auto handle = std::move(idle_.back());
  idle_.pop_back();
  return handle;
}

void HttpClient::give_back(std::unique_ptr<Handle> handle) {
  const std::scoped_lock lock(mutex_);
  idle_.push_back(std::move(handle));
}

HttpResponse HttpClient::perform(const HttpRequest& request) {
  auto handle = take_handle();
  // One that failed is not used again, nor is its connection.
  auto response = handle->perform(request, options_);
  give_back(std::move(handle));
  return response;
}

}  // namespace walvault
