"""Graph convolution on a citation-like graph: the whole graph is the batch, one step an epoch."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class GCNConv(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x, adj):
        return torch.sparse.mm(adj, x @ self.weight) + self.bias


class GCN(nn.Module):
    def __init__(self, in_features, hidden, num_classes):
        super().__init__()
        self.gc1 = GCNConv(in_features, hidden)
        self.gc2 = GCNConv(hidden, num_classes)

    def forward(self, x, adj):
        x = F.relu(self.gc1(x, adj))
        x = F.dropout(x, 0.5, training=self.training)
        return self.gc2(x, adj)


def citations(num_nodes=1500, num_classes=5, num_words=120):
    """Papers of five fields that mostly cite their own field."""
    label = torch.randint(0, num_classes, (num_nodes,))
    same = label[:, None] == label[None, :]
    edges = torch.rand(num_nodes, num_nodes) < torch.where(same, 0.012, 0.001)
    adj = (edges | edges.T | torch.eye(num_nodes, dtype=torch.bool)).float()
    degree = adj.sum(1)
    adj = (adj / (degree[:, None] * degree[None, :]).sqrt()).to_sparse()
    words = torch.rand(num_classes, num_words) < 0.1
    features = (torch.rand(num_nodes, num_words) < torch.where(words[label], 0.25, 0.05)).float()
    features = (features - features.mean(0)) / features.std(0)
    return features, adj, label


torch.manual_seed(42)
features, adj, labels = citations()
order = torch.randperm(len(labels))
idx_train, idx_val, idx_test = order[:200], order[200:500], order[500:]
model = GCN(features.size(1), 64, 5)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)

for epoch in range(100):
    model.train()
    optimizer.zero_grad()
    output = model(features, adj)
    loss_train = F.cross_entropy(output[idx_train], labels[idx_train])
    loss_train.backward()
    optimizer.step()

    if epoch % 10 == 9:
        model.eval()
        with torch.no_grad():
            output = model(features, adj)
            loss_val = F.cross_entropy(output[idx_val], labels[idx_val])
            acc_val = (output[idx_val].argmax(1) == labels[idx_val]).float().mean()
        print(
            f"Epoch: {epoch + 1:04d} loss_train: {loss_train.item():.4f} "
            f"loss_val: {loss_val.item():.4f} acc_val: {acc_val.item():.4f}"
        )

model.eval()
with torch.no_grad():
    acc = (model(features, adj)[idx_test].argmax(1) == labels[idx_test]).float().mean()
print(f"Test set accuracy: {acc.item():.4f}")
