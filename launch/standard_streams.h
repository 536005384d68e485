// Standard input, output and error of the process. Not safe for concurrent use.
#pragma once

#include <system_error>

namespace sequela {

// At the start of main: opens /dev/null where descriptor 0, 1 or 2 is closed. Otherwise the first
// file that the program opens would be its standard output.
void OpenClosedDescriptors();

// What became of results on standard output.
enum class Written {
  kAll,
  kNobodyReads,  // a closed pipe: `sequela inspect ... | head`
};

// Flushes standard output. `earlier`: of a print that threw. Throws MachineError where something that
// was printed is lost, now or earlier: a full disk.
Written FlushResults(std::error_code earlier);

}  // namespace sequela
