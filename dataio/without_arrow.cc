// What needs Arrow, in a build without it: each entry point says so.
#if !defined(SEQUELA_WITH_ARROW)

#include "dataio/meds_writer.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

[[noreturn]] void Refuse() {
  throw InputError(
      "this build of sequela has no Arrow and cannot read or write Parquet. Configure it with "
      "-DSEQUELA_WITH_ARROW=ON, or make the store on another machine.");
}

}  // namespace

struct MedsFileWriter::Impl {};
MedsFileWriter::MedsFileWriter(std::filesystem::path, Options) { Refuse(); }
MedsFileWriter::~MedsFileWriter() = default;
void MedsFileWriter::Append(std::int64_t, std::int64_t, std::string_view, float, std::string_view) {
  Refuse();
}
std::int64_t MedsFileWriter::rows() const { Refuse(); }
void MedsFileWriter::Finish() { Refuse(); }
void WriteMedsMetadata(const std::filesystem::path&, const MedsDatasetInfo&,
                       const std::vector<MedsCode>&, const std::vector<MedsSubjectSplit>&) {
  Refuse();
}

}  // namespace sequela

#endif
