#include "archive_command/archive_command.h"

int main(int argc, char** argv) { return walvault::archive_main(argc, argv); }
