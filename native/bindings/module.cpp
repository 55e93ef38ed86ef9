// The module `honed._native`. Its types and functions are described in src/honed/_native.pyi.
#include <nanobind/nanobind.h>

#include "bindings/handles.h"
#include "packing/placement.h"

NB_MODULE(_native, module) {
  // Objects alive when the interpreter ends are normal: a loaded model is often a global.
  nanobind::set_leak_warnings(false);
  module.attr("PAGE_TOKENS") = honed::kPageTokens;
  module.attr("PANEL_COLUMNS") = honed::kPanelColumns;
  module.attr("LAYOUT_VERSION") = honed::kLayoutVersion;
  honed::bindings::bind_weights(module);
  honed::bindings::bind_plan(module);
  honed::bindings::bind_executor(module);
  honed::bindings::bind_machine(module);
  honed::bindings::bind_rows(module);
  honed::bindings::bind_mapped(module);
}
