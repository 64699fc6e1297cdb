"""Spell numbers backwards with an encoder and an attending decoder, called one after the other."""

import random

import torch
import torch.nn as nn
from torch import optim

SOS, EOS = 0, 1
DIGITS = "0123456789"
MAX_LENGTH = 7
teacher_forcing_ratio = 0.7


class EncoderRNN(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.embedding = nn.Embedding(input_size, hidden_size)
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)

    def forward(self, ids):
        return self.gru(self.embedding(ids))


class AttnDecoderRNN(nn.Module):
    def __init__(self, hidden_size, output_size, dropout_p=0.1):
        super().__init__()
        self.embedding = nn.Embedding(output_size, hidden_size)
        self.dropout = nn.Dropout(dropout_p)
        self.gru = nn.GRU(2 * hidden_size, hidden_size, batch_first=True)
        self.query = nn.Linear(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, output_size)

    def forward(self, token, hidden, encoder_outputs):
        embedded = self.dropout(self.embedding(token))
        query = self.query(hidden[-1])[:, None]
        weights = torch.softmax(query @ encoder_outputs.transpose(1, 2) / 8.0, dim=-1)
        context = weights @ encoder_outputs
        output, hidden = self.gru(torch.cat([embedded, context], dim=2), hidden)
        return torch.log_softmax(self.out(output[:, 0]), dim=1), hidden


def random_pairs(batch_size):
    """Ids of a number, and of the number read from its end with an end mark."""
    numbers = torch.randint(2, 2 + len(DIGITS), (batch_size, MAX_LENGTH))
    end = torch.full((batch_size, 1), EOS)
    return torch.cat([numbers, end], dim=1), torch.cat([numbers.flip(1), end], dim=1)


def train_step(source, target, encoder, decoder, encoder_optimizer, decoder_optimizer, criterion):
    encoder_optimizer.zero_grad()
    decoder_optimizer.zero_grad()
    encoder_outputs, hidden = encoder(source)
    token = torch.full((source.size(0), 1), SOS)
    forced = random.random() < teacher_forcing_ratio
    loss = 0
    for t in range(target.size(1)):
        log_probs, hidden = decoder(token, hidden, encoder_outputs)
        loss = loss + criterion(log_probs, target[:, t])
        if forced:
            token = target[:, t : t + 1]
        else:
            token = log_probs.argmax(dim=1, keepdim=True)
    loss = loss / target.size(1)
    loss.backward()
    nn.utils.clip_grad_norm_(encoder.parameters(), 5.0)
    nn.utils.clip_grad_norm_(decoder.parameters(), 5.0)
    encoder_optimizer.step()
    decoder_optimizer.step()
    return loss.item()


def main(n_iters=150, print_every=15, hidden_size=64):
    random.seed(0)
    torch.manual_seed(0)
    encoder = EncoderRNN(2 + len(DIGITS), hidden_size)
    decoder = AttnDecoderRNN(hidden_size, 2 + len(DIGITS))
    encoder_optimizer = optim.Adam(encoder.parameters(), lr=5e-3)
    decoder_optimizer = optim.Adam(decoder.parameters(), lr=5e-3)
    criterion = nn.NLLLoss()
    print_loss_total = 0.0
    for it in range(1, n_iters + 1):
        source, target = random_pairs(64)
        print_loss_total += train_step(
            source, target, encoder, decoder, encoder_optimizer, decoder_optimizer, criterion
        )
        if it % print_every == 0:
            print(f"({it} {100 * it // n_iters}%) {print_loss_total / print_every:.4f}")
            print_loss_total = 0.0


if __name__ == "__main__":
    main()
