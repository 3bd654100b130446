// The program walvault-archive, which PostgreSQL calls as archive_command.
#pragma once

namespace walvault {

[[nodiscard]] int archive_main(int argc, char** argv);

}  // namespace walvault
