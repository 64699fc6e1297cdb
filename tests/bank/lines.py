"""Lines of the programs that edits take hold of."""

from __future__ import annotations

CNN_BATCH = 'return {"pixel_values": image, "labels": label}'
CNN_FORWARD = "def forward(self, pixel_values):"
CNN_IMAGE = "image = self.images[index]"
CNN_LABEL = "label = self.labels[index]"
CNN_LOSS = 'F.cross_entropy(outputs, batch["labels"])'
CNN_STEM = "x = F.relu(self.stem(pixel_values))"
GRU_CELL = "_, state = self.gru(x, start[None])"
GRU_FORWARD = "def forward(self, input_ids, place):"
GRU_IDS = "[[ord(c) for c in text[i : i + window]] for i in starts]"
GRU_LABELS = "torch.tensor([ord(text[i + window]) for i in starts])"
GRU_LOSS = "F.cross_entropy(outputs, labels)"
GRU_PLACE = '"place": places[:, None],'
MLP_LOADER = "loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=True)"
MLP_LOSS = "F.cross_entropy(outputs, targets)"
MLP_STEM = "x = F.relu(self.stem(x))"
TRANSFORMER_BATCH = 'return {"input_ids": ids[:-1], "labels": ids[1:]}'
TRANSFORMER_FORWARD = "def forward(self, input_ids, labels=None):"
TRANSFORMER_LOADER = "DataLoader(Letters(), batch_size=batch_size, shuffle=True, drop_last=True)"
TRANSFORMER_LOSS = "F.cross_entropy(logits.flatten(0, 1), labels.flatten())"
TRANSFORMER_TOKENS = "x = self.tokens(input_ids) + self.positions(torch.arange(time))"
CNN_HEAD = "self.head = nn.Linear(channels, num_classes)"
CNN_LOGITS = "return self.head(features)"
CNN_OPTIMIZER = "torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)"
LOGITS = "return self.head(x)"
MASK = 'self.register_buffer("mask", torch.tril(torch.ones(block_size, block_size)).bool())'
TRANSFORMER_LOGITS = "logits = self.head(self.norm(x))"
ZERO_BIAS = "nn.init.zeros_(self.head.bias)"
PER_TOKEN = "F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction='none')"
BACKWARD = "    loss.backward()\n"
BLOCK = "return F.relu(x + self.norm(self.conv(x)))"
BLOCKS = "for block in self.blocks:\n            x = block(x)\n"
FEATURES = "features = x.mean(dim=(2, 3))"
GRU_LAYER = "x = x + self.dropout(torch.tanh(layer(x)))"
GRU_LAYERS = "num_layers = 2"
MLP_LAYER = "x = x + self.dropout(F.relu(layer(x)))"
MLP_LAYERS = "for layer in self.layers:"
STATE = "x = state[-1]"
STEP = "    optimizer.step()\n"
TRANSFORMER_ATTENTION = "x = x + self.dropout(self.attention(self.norm1(x)))"
TRANSFORMER_MLP = "return x + self.dropout(self.mlp(self.norm2(x)))"
ZERO_GRAD = "    optimizer.zero_grad()\n"
MODELS = {
    "mlp": "    model = MLP()\n",
    "cnn": "    model = CNN()\n",
    "gru": "    model = GRU()\n",
    "transformer": "    model = Transformer()\n",
}
LOOP = "for batch in loader:\n            loss = train_step(model, batch, optimizer)\n"
OPTIMIZERS = {
    "mlp": "torch.optim.AdamW(model.parameters(), lr=learning_rate)",
    "cnn": CNN_OPTIMIZER,
    "gru": "torch.optim.Adam(model.parameters(), lr=learning_rate)",
    "transformer": "torch.optim.AdamW(model.parameters(), lr=learning_rate)",
}
RATES = {
    "mlp": "learning_rate = 3e-3",
    "cnn": "learning_rate = 0.05",
    "gru": "learning_rate = 5e-3",
    "transformer": "learning_rate = 3e-3",
}
RETURN = "    return model, loader, optimizer\n"
LETTER_IDS = "self.ids = torch.tensor([letters.index(letter) for letter in text])"
LISTS = {
    "mlp": "nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(num_layers)])",
    "cnn": "nn.ModuleList([Block() for _ in range(num_blocks)])",
    "gru": "nn.ModuleList([nn.Linear(dim, dim) for _ in range(num_layers)])",
    "transformer": "nn.ModuleList([Block() for _ in range(num_layers)])",
}
TRAIN = "    model.train()\n"
ONE = ("batch_size = 32", "batch_size = 1")


def transformer_batch(labels: str = "ids[1:]", inputs: str = "ids[:-1]", more: str = "") -> str:
    """Return the line that makes a sample of the transformer's."""
    return f'return {{"input_ids": {inputs}, "labels": {labels}{more}}}'
