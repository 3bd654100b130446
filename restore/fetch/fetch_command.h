// The program walvault-fetch, which PostgreSQL calls as restore_command.
#pragma once

namespace walvault {

[[nodiscard]] int fetch_main(int argc, char** argv);

}  // namespace walvault
