#include <arrow/config.h>

#include "dataio/libraries.h"

namespace sequela {

std::string ArrowLibrary() { return "Arrow " + arrow::GetBuildInfo().version_string; }

}  // namespace sequela
