#include "storage/http/curl_library.h"

#include <dlfcn.h>

#include <array>
#include <string>

#include "base/error.h"

namespace walvault {
namespace {

// The flavours differ in whose TLS they use and are one library otherwise.
constexpr std::array names = {"libcurl.so.4", "libcurl-gnutls.so.4"};

Error unusable(const char* evidence) {
  return {ErrorKind::unavailable, "libcurl cannot be loaded, which object storage needs",
          evidence == nullptr ? "" : evidence, "Install it; on Debian: apt-get install libcurl4"};
}

template <typename Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (function == nullptr) throw unusable(::dlerror());
}

CurlLibrary load() {
  void* library = nullptr;
  std::string evidence;
  for (const auto* const name : names) {
    // Never unloaded: it keeps threads' and TLS's state.
    library = ::dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    if (library != nullptr) break;
    const auto* const reason = ::dlerror();
    if (evidence.empty() && reason != nullptr) evidence = reason;
  }
  if (library == nullptr) throw unusable(evidence.c_str());
  decltype(&::curl_global_init) global_init = nullptr;
  find(library, "curl_global_init", global_init);
  CurlLibrary curl{};
  find(library, "curl_easy_init", curl.easy_init);
  find(library, "curl_easy_cleanup", curl.easy_cleanup);
  find(library, "curl_easy_reset", curl.easy_reset);
  find(library, "curl_easy_setopt", curl.easy_setopt);
  find(library, "curl_easy_perform", curl.easy_perform);
  find(library, "curl_easy_getinfo", curl.easy_getinfo);
  find(library, "curl_easy_strerror", curl.easy_strerror);
  find(library, "curl_slist_append", curl.slist_append);
  find(library, "curl_slist_free_all", curl.slist_free_all);
  if (const auto code = global_init(CURL_GLOBAL_DEFAULT); code != CURLE_OK) {
    throw unusable(curl.easy_strerror(code));
  }
  return curl;
}

}  // namespace

const CurlLibrary& CurlLibrary::get() {
  static const CurlLibrary curl = load();
  return curl;
}

}  // namespace walvault
