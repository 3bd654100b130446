#include "contract/storage_contract.h"

#include "storage/decorators/retrying_storage.h"
#include "storage/memory_storage.h"
#include "storage/posix_storage.h"
#include "support/deterministic.h"
#include "support/temporary_directory.h"

namespace walvault {
namespace {

StorageUnderTest memory() { return {nullptr, std::make_unique<MemoryStorage>()}; }

StorageUnderTest posix() {
  auto directory = std::make_shared<TemporaryDirectory>();
  auto storage = std::make_unique<PosixStorage>(directory->path("repo"), id_of(7));
  storage->prepare();
  return {std::move(directory), std::move(storage)};
}

StorageUnderTest retrying(StorageUnderTest inner) {
  struct Kept {
    std::shared_ptr<void> inner;
    FakeClock clock;
  };
  auto kept = std::make_shared<Kept>();
  kept->inner = std::move(inner.keeps_alive);
  auto storage = std::make_unique<RetryingStorage>(std::move(inner.storage), kept->clock);
  return {std::move(kept), std::move(storage)};
}

INSTANTIATE_TEST_SUITE_P(
    AllStorages, StorageContract,
    testing::Values(StorageFactory{"Memory", memory}, StorageFactory{"Posix", posix},
                    StorageFactory{"RetryingMemory", [] { return retrying(memory()); }},
                    StorageFactory{"RetryingPosix", [] { return retrying(posix()); }}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace walvault
