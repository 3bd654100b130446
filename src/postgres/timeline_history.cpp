#include "postgres/timeline_history.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "postgres/segment_name.h"
#include "postgres/text_lines.h"

namespace walvault {
namespace {

// Adds the stretch of one more line, and cuts short those that it leaves behind.
void add_switch(std::vector<TimelineSwitch>& ancestors, const TimelineSwitch& line) {
  const auto begin_of_last = [&] {
    return ancestors.size() > 1 ? ancestors[ancestors.size() - 2].end : Lsn{};
  };
  while (!ancestors.empty() && begin_of_last() >= line.end) ancestors.pop_back();
  if (!ancestors.empty() && ancestors.back().end >= line.end) {
    ancestors.back().end = line.end;
  } else if (line.end > Lsn{}) {
    ancestors.push_back(line);
  }
}

}  // namespace

TimelineHistory TimelineHistory::parse(TimelineId timeline, ByteView content) {
  const auto name = history_file_name(timeline);
  std::vector<TimelineSwitch> ancestors;
  std::optional<std::uint32_t> last_id;
  for (const auto line : split_lines(as_text(content))) {
    const auto fail = [&](std::string_view why) {
      return Error(ErrorKind::corrupt, "the timeline history file " + name + " is damaged",
                   std::string(why) + ": \"" + std::string(line.substr(0, 200)) + "\".");
    };
    static constexpr std::string_view blanks = " \t\v\f";
    const auto begin = line.find_first_not_of(blanks);
    if (begin == std::string_view::npos || line[begin] == '#') continue;

    std::uint32_t id = 0;
    const auto* const end = line.data() + line.size();
    const auto [id_end, failure] = std::from_chars(line.data() + begin, end, id);
    if (failure != std::errc{}) throw fail("A line does not start with a timeline id");
    std::string_view rest(id_end, static_cast<std::size_t>(end - id_end));
    rest.remove_prefix(std::min(rest.find_first_not_of(blanks), rest.size()));
    const auto lsn = Lsn::parse(rest.substr(0, rest.find_first_of(blanks)));
    if (!lsn) throw fail("A line has no switch point");
    if (last_id && *last_id >= id) throw fail("Timeline ids do not ascend");
    last_id = id;
    if (id >= timeline.value) throw fail("An ancestor's id is not below the timeline's own");
    add_switch(ancestors, {.timeline = {id}, .end = *lsn});
  }
  return TimelineHistory(timeline, std::move(ancestors));
}

TimelineId TimelineHistory::at(Lsn lsn) const {
  for (const auto& ancestor : ancestors_) {
    if (lsn < ancestor.end) return ancestor.timeline;
  }
  return timeline_;
}

std::vector<TimelineId> TimelineHistory::asked_for(Lsn start, Lsn end) const {
  std::vector<TimelineId> asked;
  // The newest begins where its last ancestor is left, and so on downwards.
  auto timeline = timeline_;
  for (auto it = ancestors_.rbegin(); it != ancestors_.rend(); ++it) {
    if (it->end < end) asked.push_back(timeline);
    if (it->end <= start) return asked;
    timeline = it->timeline;
  }
  asked.push_back(timeline);
  return asked;
}

std::optional<Lsn> TimelineHistory::leaves(TimelineId ancestor) const {
  const auto it = std::ranges::find(ancestors_, ancestor, &TimelineSwitch::timeline);
  if (it == ancestors_.end()) return std::nullopt;
  return it->end;
}

}  // namespace walvault
