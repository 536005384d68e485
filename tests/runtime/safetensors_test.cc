// ctest: labels=sanitize timeout=60
// Safetensors files: what is written is read, by ours and by the python package; what is wrong is
// refused.
#include "runtime/safetensors.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "kernels/base/atomic_file.h"
#include "kernels/base/bf16.h"
#include "kernels/base/crc32c.h"
#include "kernels/base/errors.h"
#include "runtime/safetensors_writer.h"
#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

class SafetensorsTest : public ::testing::Test {
 protected:
  std::filesystem::path File() const { return folder_ / "x.safetensors"; }

  WrittenFile WriteThree() {
    const std::vector<SafetensorsEntry> entries = {
        {"a.weight", DType::kFloat32, {2, 3}, std::as_bytes(std::span(floats_))},
        {"b", DType::kBFloat16, {2}, std::as_bytes(std::span(halves_))},
        {"empty", DType::kInt64, {0, 2}, {}}};
    return WriteSafetensors(File(), entries, {{"format", "pt"}});
  }

  // A file with this header and `data_bytes` of data.
  void WriteRaw(const std::string& header, std::size_t data_bytes, std::int64_t announce = -1) {
    const auto size = static_cast<std::uint64_t>(announce < 0 ? std::ssize(header) : announce);
    std::ofstream file(File(), std::ios::binary);
    file.write(reinterpret_cast<const char*>(&size), 8);
    file << header << std::string(data_bytes, '\0');
  }

  // The message of the refusal, or "accepted".
  std::string Refusal() const {
    try {
      const SafetensorsFile file(File());
      return "accepted";
    } catch (const InputError& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with(File().string())) << error.what();
      return error.what();
    }
  }

  testing::TempFolder folder_;
  std::vector<float> floats_ = {1.5F, -2, 3, 4, 5, 1e-30F};
  std::vector<bf16> halves_ = {ToBf16(0.5F), ToBf16(-7)};
};

TEST_F(SafetensorsTest, ReadsWhatItWrote) {
  const WrittenFile written = WriteThree();
  const std::string bytes = ReadFile(File());
  EXPECT_EQ(written.name, "x.safetensors");
  EXPECT_EQ(written.size_bytes, std::ssize(bytes));
  EXPECT_EQ(written.crc32c, Crc32c(bytes.data(), bytes.size()));

  const SafetensorsFile file(File());
  EXPECT_EQ(file.metadata().at("format"), "pt");
  ASSERT_NE(file.Find("a.weight"), nullptr);
  EXPECT_EQ(file.Find("nothing"), nullptr);
  std::vector<float> values(6);
  const std::int64_t shape[] = {2, 3};
  file.ReadFloats("a.weight", shape, values);
  EXPECT_EQ(values, floats_);
  values.resize(2);
  const std::int64_t vector_shape[] = {2};
  file.ReadFloats("b", vector_shape, values);
  EXPECT_EQ(values, (std::vector<float>{0.5F, -7}));
  EXPECT_THROW(file.ReadFloats("b", shape, values), InputError);
  EXPECT_THROW(file.ReadFloats("nothing", shape, values), InputError);
}

TEST_F(SafetensorsTest, PythonReadsIt) {
  const char* python = std::getenv("SEQUELA_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "SEQUELA_PYTHON names no python with safetensors";
  const std::string probe = std::string(python) + " -c 'import safetensors.torch' 2>/dev/null";
  if (std::system(probe.c_str()) != 0) GTEST_SKIP() << "no safetensors and torch there";
  WriteThree();
  const std::string script =
      "import safetensors.torch as s, sys; t = s.load_file(sys.argv[1]); "
      "assert t[\"a.weight\"].tolist()[0] == [1.5, -2, 3], t; "
      "assert t[\"b\"].float().tolist() == [0.5, -7], t; assert t[\"empty\"].shape == (0, 2)";
  EXPECT_EQ(std::system((std::string(python) + " -c '" + script + "' " + File().string()).c_str()),
            0);
}

TEST_F(SafetensorsTest, RefusesEveryTruncation) {
  WriteThree();
  const std::string whole = ReadFile(File());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    std::ofstream(File(), std::ios::binary) << whole.substr(0, size);
    EXPECT_NE(Refusal(), "accepted") << size << " bytes of " << whole.size();
  }
  std::ofstream(File(), std::ios::binary) << whole << "x";
  EXPECT_NE(Refusal().find("too long"), std::string::npos);
}

TEST_F(SafetensorsTest, SurvivesEveryFlippedByteOfTheHeader) {
  WriteThree();
  const std::string whole = ReadFile(File());
  const std::size_t header = whole.size() - 6 * 4 - 2 * 2;
  for (std::size_t i = 0; i < header; ++i) {
    for (const int flip : {0x01, 0x10, 0x80}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      std::ofstream(File(), std::ios::binary) << damaged;
      Refusal();  // accepted (a letter of a name) or refused, never anything else
    }
  }
}

TEST_F(SafetensorsTest, RefusesHostileHeaders) {
  const struct {
    const char* header;
    const char* says;
  } cases[] = {
      {"[]", "no JSON object"},
      {"{", "no JSON"},
      {R"({"a":5})", "tensor a: expected"},
      {R"({"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})", "dtype"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}})", "count"},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", "count"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "do not fit"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "do not fit"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387905,4],"data_offsets":[0,16]}})", "large"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})", "large"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "gaps"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
           "b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "overlaps"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", "truncated"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "too long"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
           "a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "twice"},
      {R"({"__metadata__":{"a":1},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "text"},
      {"[[[[[[[[[[[[[[[[[[[[", "deep"},
  };
  for (const auto& hostile : cases) {
    WriteRaw(hostile.header, 8);
    EXPECT_NE(Refusal().find(hostile.says), std::string::npos)
        << hostile.header << " gave: " << Refusal();
  }
  WriteRaw("{}", 0, std::int64_t{1} << 62);
  EXPECT_NE(Refusal().find("announce"), std::string::npos);
}

TEST_F(SafetensorsTest, SeveralFilesAreOneModelByTheirIndex) {
  const std::vector<SafetensorsEntry> first = {
      {"a", DType::kFloat32, {6}, std::as_bytes(std::span(floats_))}};
  const std::vector<SafetensorsEntry> second = {
      {"b", DType::kBFloat16, {2}, std::as_bytes(std::span(halves_))}};
  WriteSafetensors(folder_ / "model-00001-of-00002.safetensors", first);
  WriteSafetensors(folder_ / "model-00002-of-00002.safetensors", second);
  const auto write_index = [&](const std::string& file_of_b) {
    WriteText(
        folder_ / "model.safetensors.index.json",
        R"({"weight_map":{"a":"model-00001-of-00002.safetensors","b":")" + file_of_b + R"("}})");
  };
  write_index("model-00002-of-00002.safetensors");
  const SafetensorsModel model(folder_.path());
  EXPECT_EQ(model.names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(model.Get("b").bytes.size(), 4U);
  EXPECT_THROW(model.Get("c"), InputError);
  write_index("model-00001-of-00002.safetensors");
  EXPECT_THROW(SafetensorsModel(folder_.path()), InputError) << "b is not there";
  write_index("../elsewhere.safetensors");
  EXPECT_THROW(SafetensorsModel(folder_.path()), InputError);
}

TEST_F(SafetensorsTest, AFullDiskIsAMachineError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  EXPECT_THROW(WriteText("/dev/full", "text"), MachineError);
  EXPECT_THROW(WriteText(folder_ / "no" / "such", "text"), MachineError);
}

}  // namespace
}  // namespace sequela
