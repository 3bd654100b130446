// Messages to stderr. Only this layer and the commands above it log.
#pragma once

#include <string>

namespace walvault {

// `level`: debug, info, warning or error.
void set_log_level(const std::string& level);

void log_debug(const std::string& message);
void log_info(const std::string& message);
void log_warning(const std::string& message);

}  // namespace walvault
