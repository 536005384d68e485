#include "tests/testing/temp_folder.h"

#include <stdlib.h>

#include <stdexcept>
#include <system_error>

namespace sequela::testing {

TempFolder::TempFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "sequela-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot create " + name);
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace sequela::testing
