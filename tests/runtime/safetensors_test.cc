// ctest: labels=sanitize timeout=60
// Safetensors files: what is written is read, by ours and by the python package; what is wrong is
// refused.
#include "runtime/safetensors.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
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
      {R"({"a":{"dtype":64,"shape":[1],"data_offsets":[0,8]}})", "dtype"},
      {R"({"a":{"dtype":"F64","shape":[2],"data_offsets":[0,8]}})", "do not fit"},
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
      {"[[[[[[[[[[[[[[[[[[[[", "deeper"},
  };
  for (const auto& hostile : cases) {
    WriteRaw(hostile.header, 8);
    EXPECT_NE(Refusal().find(hostile.says), std::string::npos)
        << hostile.header << " gave: " << Refusal();
  }
  WriteRaw("{}", 0, std::int64_t{1} << 62);
  EXPECT_NE(Refusal().find("announce"), std::string::npos);
}

// Values that the types' definitions (IEEE 754) give.
TEST_F(SafetensorsTest, ReadsHalfAndDoublePrecision) {
  const std::uint16_t halves[] = {0x3C00, 0xC000, 0x7BFF, 0x0001, 0x83FF, 0x0400, 0x0000, 0x3555};
  const double doubles[] = {0.1, -1e300, 1e-320};
  std::string data(reinterpret_cast<const char*>(halves), sizeof(halves));
  data.append(reinterpret_cast<const char*>(doubles), sizeof(doubles));
  WriteRaw(R"({"h":{"dtype":"F16","shape":[8],"data_offsets":[0,16]},)"
           R"("d":{"dtype":"F64","shape":[3],"data_offsets":[16,40]}})",
           0);
  std::ofstream(File(), std::ios::app | std::ios::binary) << data;
  const SafetensorsFile file(File());
  std::vector<float> values(8);
  const std::int64_t eight[] = {8};
  file.ReadFloats("h", eight, values);
  EXPECT_EQ(values, (std::vector<float>{1, -2, 65504, 0x1p-24F, -1023 * 0x1p-24F, 0x1p-14F, 0,
                                        0x1.554p-2F}));
  values.resize(3);
  const std::int64_t three[] = {3};
  EXPECT_THROW(file.ReadFloats("d", three, values), InputError) << "-1e300 is beyond fp32";
  EXPECT_EQ(file.Find("h")->dtype, std::nullopt);
}

TEST_F(SafetensorsTest, TensorsOfAnyTypeMayBeThere) {
  WriteRaw(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
           R"("b":{"dtype":"BOOL","shape":[3],"data_offsets":[4,7]},)"
           R"("c":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[7,8]},)"
           R"("d":{"dtype":"F4_OF_LATER","shape":[16],"data_offsets":[8,16]}})",
           16);
  const SafetensorsFile file(File());
  std::vector<float> one(1);
  const std::int64_t shape[] = {1};
  file.ReadFloats("a", shape, one);
  EXPECT_THROW(file.ReadFloats("c", shape, one), InputError);
  EXPECT_EQ(file.Find("d")->bytes.size(), 8U);
}

TEST_F(SafetensorsTest, RefusesValuesThatAreNoNumbersByTheTensorsName) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    floats_ = {1, 2, bad, 4, bad, 6};
    WriteThree();
    std::vector<float> values(6);
    const std::int64_t shape[] = {2, 3};
    try {
      SafetensorsFile(File()).ReadFloats("a.weight", shape, values);
      ADD_FAILURE() << bad;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find("a.weight: 2 of its 6 values"), std::string::npos)
          << error.what();
    }
    EXPECT_THROW(SafetensorsFile(File()).RequireFinite(), InputError);
  }
  floats_ = {1, 2, -0.0F, 1e-42F, 3.4e38F, 6};
  WriteThree();
  EXPECT_NO_THROW(SafetensorsFile(File()).RequireFinite());
  for (const std::uint16_t bad : {0x7F80, 0xFF80, 0x7FC0}) {
    halves_[1] = std::bit_cast<bf16>(bad);
    WriteThree();
    EXPECT_THROW(SafetensorsFile(File()).RequireFinite(), InputError) << bad;
  }
}

// Quadratic work on it would take minutes.
TEST_F(SafetensorsTest, ReadsAHeaderOfManyTensors) {
  std::string header = "{";
  constexpr int kTensors = 100'000;
  for (int i = 0; i < kTensors; ++i) {
    header += fmt::format(R"({}"t{}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
                          i > 0 ? "," : "", i);
  }
  WriteRaw(header + "}", 0);
  EXPECT_EQ(SafetensorsFile(File()).entries().size(), kTensors);
}

TEST_F(SafetensorsTest, OpensOnlyTheFilesThatItIsTold) {
  const std::vector<SafetensorsEntry> entries = {
      {"a", DType::kFloat32, {6}, std::as_bytes(std::span(floats_))}};
  WriteSafetensors(folder_ / "model-00001-of-00001.safetensors", entries);
  WriteText(folder_ / "model.safetensors.index.json",
            R"({"weight_map":{"a":"model-00001-of-00001.safetensors"}})");
  WriteText(folder_ / "model.safetensors", "no model at all");
  const std::string listed[] = {"model.safetensors.index.json", "model-00001-of-00001.safetensors"};
  EXPECT_TRUE(SafetensorsModel(folder_.path(), listed).Has("a"));
  EXPECT_THROW(SafetensorsModel(folder_.path()), InputError);
  EXPECT_THROW(SafetensorsModel(folder_.path(), std::span(listed, 1)), InputError);
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
  for (const char* damaged :
       {"[]", "{}", R"({"weight_map":{}})", R"({"weight_map":[]})", R"({"weight_map":{"a":7}})",
        R"({"weight_map":{"a":""}})", R"({"weight_map":{"a":".."}})"}) {
    WriteText(folder_ / "model.safetensors.index.json", damaged);
    EXPECT_THROW(SafetensorsModel(folder_.path()), InputError) << damaged;
  }
}

TEST_F(SafetensorsTest, AFullDiskIsAMachineError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  EXPECT_THROW(WriteText("/dev/full", "text"), MachineError);
  EXPECT_THROW(WriteText(folder_ / "no" / "such", "text"), MachineError);
}

}  // namespace
}  // namespace sequela
