// What a hostile HDF5 file may hold in place of a plain dataset. Each changes the file on the disk.
#pragma once

#include <filesystem>
#include <string>

namespace sequela::testing {

void ReplaceByExternalLink(const std::filesystem::path& file, const std::string& dataset);
// The group is renamed, and a symbolic link takes its name.
void HideBehindSoftLink(const std::filesystem::path& file, const std::string& group);
// A dataset of the same type and size whose elements lie in another file.
void ReplaceByExternalStorage(const std::filesystem::path& file, const std::string& dataset);
// A dataset of the same type and size that is a view of another one.
void ReplaceByVirtualDataset(const std::filesystem::path& file, const std::string& dataset);
// The same elements, chunked: a layout that cannot be mapped.
void ReplaceByChunks(const std::filesystem::path& file, const std::string& dataset);

}  // namespace sequela::testing
