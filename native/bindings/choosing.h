// RowChoice objects of Python, read at once, and what comes of them.
#pragma once

#include <nanobind/nanobind.h>

#include "executor/executor.h"

namespace honed::bindings {

// See Executor.choose in src/honed/_native.pyi.
nanobind::tuple choose_rows(Executor& self, const nanobind::sequence& rows);

}  // namespace honed::bindings
