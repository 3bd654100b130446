#include "restore/fetch/fetch_command.h"

int main(int argc, char** argv) { return walvault::fetch_main(argc, argv); }
