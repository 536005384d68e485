// ctest: labels=sanitize timeout=60
// What the message about an unknown key of an experiment offers. Truth: the documentation of the
// trainers whose names these are, by hand.
#include "trainer/experiment/common_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "tests/testing/message_of.h"
#include "trainer/experiment/experiment_fields.h"
#include "trainer/experiment/experiment_yaml.h"

namespace sequela {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::MessageOf;
using ::testing::StartsWith;

TEST(CommonNames, MeanWhatTheyMeanElsewhere) {
  EXPECT_EQ(FieldOfCommonName("optimizer.lr"), "optimizer.learning_rate");
  EXPECT_EQ(FieldOfCommonName("model.n_layer"), "model.num_hidden_layers");
  EXPECT_EQ(FieldOfCommonName("nlayers"), "model.num_hidden_layers");
  EXPECT_EQ(FieldOfCommonName("model.nLayers"), "model.num_hidden_layers");
  EXPECT_EQ(FieldOfCommonName("model.d_model"), "model.hidden_size");
  EXPECT_EQ(FieldOfCommonName("n-embd"), "model.hidden_size");
  EXPECT_EQ(FieldOfCommonName("block_size"), "data.context_length");
  EXPECT_EQ(FieldOfCommonName("max_grad_norm"), "optimizer.clip_gradient_norm");
  EXPECT_EQ(FieldOfCommonName("training.max_steps"), "schedule.steps");
  EXPECT_EQ(FieldOfCommonName("output_dir"), "run.folder");
  EXPECT_EQ(FieldOfCommonName("optimiser"), "optimizer");
  EXPECT_EQ(FieldOfCommonName("model.hidden_sise"), "");
}

TEST(CommonNames, LeadToFieldsAndAreNone) {
  std::set<std::string> seen;
  for (const CommonNames& common : AllCommonNames()) {
    EXPECT_TRUE(FindField(common.field) != nullptr || IsSection(common.field)) << common.field;
    std::istringstream names{std::string(common.names)};
    for (std::string name; names >> name;) {
      EXPECT_TRUE(seen.insert(name).second) << name << " has two meanings";
      EXPECT_EQ(FieldOfCommonName(name), common.field) << name;
      EXPECT_FALSE(FindField(name) != nullptr || IsSection(name)) << name;
    }
  }
}

TEST(CommonNames, AreOfferedWithTheKeysOfTheSection) {
  EXPECT_THAT(MessageOf([] { ParseExperiment("optimizer:\n  lr: 1\n", "my.yaml"); }),
              AllOf(StartsWith("my.yaml:2:3: key 'optimizer.lr': unknown key; here it is called "
                               "optimizer.learning_rate."),
                    HasSubstr("Keys of optimizer: learning_rate, beta1, beta2, epsilon, "
                              "weight_decay, clip_gradient_norm")));
  EXPECT_THAT(MessageOf([] { ParseExperiment("lr: 1\n", "my.yaml"); }),
              AllOf(HasSubstr("optimizer.learning_rate"),
                    HasSubstr("At the top level are: seed, data, model, objective, optimizer")));
  Experiment experiment;
  EXPECT_THAT(MessageOf([&] { ApplyOverride("model.n_layer=3", experiment); }),
              AllOf(HasSubstr("model.num_hidden_layers"), HasSubstr("Keys of model: ")));
}

}  // namespace
}  // namespace sequela
