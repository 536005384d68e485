#include <arrow/config.h>

#include "dataio/base/libraries.h"

namespace sequela {

std::string ArrowLibrary() { return "Arrow " + arrow::GetBuildInfo().version_string; }

}  // namespace sequela
