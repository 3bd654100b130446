#include "postgres/timeline_history.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "postgres/segment_name.h"
#include "postgres/text_lines.h"

namespace walvault {

TimelineHistory TimelineHistory::parse(TimelineId timeline, ByteView content) {
  const auto name = history_file_name(timeline);
  std::vector<TimelineSwitch> ancestors;
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
    if (!ancestors.empty() && ancestors.back().timeline.value >= id) {
      throw fail("Timeline ids do not ascend");
    }
    if (id >= timeline.value) throw fail("An ancestor's id is not below the timeline's own");
    ancestors.push_back({.timeline = {id}, .end = *lsn});
  }
  return TimelineHistory(timeline, std::move(ancestors));
}

TimelineId TimelineHistory::at(Lsn lsn) const {
  for (const auto& ancestor : ancestors_) {
    if (lsn < ancestor.end) return ancestor.timeline;
  }
  return timeline_;
}

std::optional<Lsn> TimelineHistory::leaves(TimelineId ancestor) const {
  const auto it = std::ranges::find(ancestors_, ancestor, &TimelineSwitch::timeline);
  if (it == ancestors_.end()) return std::nullopt;
  return it->end;
}

}  // namespace walvault
