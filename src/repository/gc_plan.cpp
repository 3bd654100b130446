#include "repository/gc_plan.h"

#include "repository/object_table.h"

namespace walvault {

Bytes encode_gc_plan(const GcPlan& plan) {
  ByteWriter out;
  out.time(plan.created);
  plan.condemned.write(out);
  return out.take();
}

GcPlan decode_gc_plan(ByteView payload) {
  ByteReader in(payload, "a plan of gc");
  GcPlan plan;
  plan.created = in.time();
  plan.condemned = PackTable::read(in);
  in.expect_end();
  return plan;
}

std::set<PackName> condemned_packs(const Repository& repository) {
  std::set<PackName> condemned;
  for (const auto& name : repository.storage().list_names(prefix_of(ObjectPlace::plans))) {
    const auto payload =
        repository.find_sealed(ObjectKind::plan, std::string(prefix_of(ObjectPlace::plans)) + name);
    if (!payload) continue;  // that gc has finished
    const auto plan = decode_gc_plan(*payload);
    for (const auto& entry : plan.condemned.entries()) condemned.insert(entry.name);
  }
  return condemned;
}

}  // namespace walvault
