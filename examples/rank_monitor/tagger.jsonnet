// A tagger whose training is watched; `--include-package` is not needed once AllenNLP knows the plugin.
//
//   allennlp train tagger.jsonnet -s healthy --include-package allennlp_analyze.plugin
//
// The same with an L2 penalty that is far too strong: it learns the tags, and is warned of collapse.
//
//   allennlp train tagger.jsonnet -s collapsed --include-package allennlp_analyze.plugin \
//     -o '{"model.regularizer.regexes": [["encoder", {"type": "l2", "alpha": 0.1}]]}'
{
  dataset_reader: { type: 'sequence_tagging' },
  train_data_path: 'train.tsv',
  validation_data_path: 'dev.tsv',
  model: {
    type: 'simple_tagger',
    text_field_embedder: {
      token_embedders: { tokens: { type: 'embedding', embedding_dim: 24 } },
    },
    encoder: {
      type: 'feedforward',
      feedforward: { input_dim: 24, num_layers: 1, hidden_dims: 48, activations: 'linear' },
    },
    regularizer: { regexes: [] },
  },
  data_loader: { batch_size: 2, shuffle: true },
  trainer: {
    optimizer: { type: 'sgd', lr: 0.5 },
    num_epochs: 6,
    cuda_device: -1,
    callbacks: [{ type: 'rank_monitor', kinds: ['linear'], per_layer: true }, 'tensorboard'],
  },
}
