#include "contract/storage_contract.h"

#include "storage/decorators/retrying_storage.h"
#include "storage/s3/s3_storage.h"
#include "support/s3_bucket.h"

namespace walvault {
namespace {

StorageUnderTest s3(const std::string& prefix) {
  return {nullptr,
          std::make_unique<RetryingStorage>(
              std::make_unique<S3Storage>(new_bucket(prefix), test_credentials, system_clock()),
              system_clock())};
}

INSTANTIATE_TEST_SUITE_P(Ceph, StorageContract,
                         testing::Values(StorageFactory{"S3", [] { return s3(""); }},
                                         StorageFactory{"S3WithAPrefix",
                                                        [] { return s3("team/db"); }}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace walvault
