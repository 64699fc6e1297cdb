"""Deep Q-learning with a replay buffer and a target network on a grid world."""

import argparse
import copy
import random
from collections import deque, namedtuple

import torch
import torch.nn.functional as F
from torch import nn

Transition = namedtuple("Transition", ["obs", "action", "reward", "next_obs", "done"])


class Maze:
    """Walk from a random cell of a 6 x 6 grid to the corner; some cells are walls."""

    walls = frozenset({(1, 1), (1, 2), (2, 4), (3, 1), (4, 3), (4, 4)})
    moves = ((-1, 0), (1, 0), (0, -1), (0, 1))

    def reset(self):
        free = [(r, c) for r in range(6) for c in range(6) if (r, c) not in self.walls]
        self.place = random.choice(free[:-1])
        self.steps = 0
        return self.observe()

    def observe(self):
        obs = torch.zeros(2, 6)
        obs[0, self.place[0]] = obs[1, self.place[1]] = 1.0
        return obs.flatten()

    def step(self, action):
        dr, dc = self.moves[action]
        target = (self.place[0] + dr, self.place[1] + dc)
        if target not in self.walls and 0 <= target[0] < 6 and 0 <= target[1] < 6:
            self.place = target
        self.steps += 1
        won = self.place == (5, 5)
        return self.observe(), 1.0 if won else -0.04, won, won or self.steps >= 40


class QNetwork(nn.Module):
    def __init__(self, inputs=12, actions=4, hidden=128):
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, actions),
        )

    def forward(self, x):
        return self.network(x)


def linear_schedule(start, end, duration, t):
    return max(end, start + (end - start) * t / duration)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--total-timesteps", type=int, default=3000)
    parser.add_argument("--learning-starts", type=int, default=200)
    parser.add_argument("--train-frequency", type=int, default=2)
    parser.add_argument("--target-frequency", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--gamma", type=float, default=0.95)
    args = parser.parse_args()

    random.seed(args.seed)
    torch.manual_seed(args.seed)
    env = Maze()
    q_network = QNetwork()
    optimizer = torch.optim.Adam(q_network.parameters(), lr=args.learning_rate)
    target_network = copy.deepcopy(q_network)
    buffer = deque(maxlen=2000)

    obs, episode_return, recent = env.reset(), 0.0, deque(maxlen=30)
    for global_step in range(args.total_timesteps):
        epsilon = linear_schedule(1.0, 0.05, 0.5 * args.total_timesteps, global_step)
        if random.random() < epsilon:
            action = random.randrange(4)
        else:
            with torch.no_grad():
                action = q_network(obs[None]).argmax(dim=1).item()
        next_obs, reward, terminated, over = env.step(action)
        buffer.append(Transition(obs, action, reward, next_obs, float(terminated)))
        episode_return += reward
        obs = next_obs
        if over:
            recent.append(episode_return)
            obs, episode_return = env.reset(), 0.0

        if global_step > args.learning_starts:
            if global_step % args.train_frequency == 0:
                batch = Transition(*zip(*random.sample(buffer, args.batch_size)))
                with torch.no_grad():
                    target_max = target_network(torch.stack(batch.next_obs)).max(dim=1).values
                    not_done = 1 - torch.tensor(batch.done)
                    td_target = torch.tensor(batch.reward) + args.gamma * target_max * not_done
                actions = torch.tensor(batch.action)[:, None]
                old_val = q_network(torch.stack(batch.obs)).gather(1, actions).squeeze(1)
                loss = F.mse_loss(old_val, td_target)

                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

            if global_step % args.target_frequency == 0:
                target_network.load_state_dict(q_network.state_dict())

        if global_step % 300 == 299:
            mean = sum(recent) / max(len(recent), 1)
            print(f"global_step={global_step + 1} episodic_return={mean:.3f} epsilon={epsilon:.2f}")
