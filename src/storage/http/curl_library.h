// libcurl, loaded when the first request is made: walvault-archive and
// walvault-fetch start once a segment, and for a repository on a directory
// loading it would be most of their time (decision 20).
#pragma once

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

namespace walvault {

// The functions that are used, under their own names without "curl_".
struct CurlLibrary {
  decltype(&::curl_easy_init) easy_init;
  decltype(&::curl_easy_cleanup) easy_cleanup;
  decltype(&::curl_easy_reset) easy_reset;
  decltype(&::curl_easy_setopt) easy_setopt;
  decltype(&::curl_easy_perform) easy_perform;
  decltype(&::curl_easy_getinfo) easy_getinfo;
  decltype(&::curl_easy_strerror) easy_strerror;
  decltype(&::curl_slist_append) slist_append;
  decltype(&::curl_slist_free_all) slist_free_all;

  // Error{unavailable} where it is not installed. Thread-safe.
  [[nodiscard]] static const CurlLibrary& get();
};

}  // namespace walvault
