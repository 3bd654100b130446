// The checkpoint record that a pg_control points to, in the WAL.
#pragma once

#include "base/bytes.h"
#include "postgres/control_file.h"

namespace walvault {

// Whether WAL holds, where pg_control says that its last checkpoint is, the
// very record that pg_control copies: whether that server wrote it. Two servers
// that were promoted onto one timeline write segments of the same names. Where pg_control's copy is
// not at hand (all zeros), whether it is a checkpoint with the same redo position and timeline.
//
// `wal` are whole segments one after another, from the one that contains
// control.checkpoint; when they end within the record, it is not held.
[[nodiscard]] bool holds_checkpoint(ByteView wal, const ControlFile& control);

}  // namespace walvault
