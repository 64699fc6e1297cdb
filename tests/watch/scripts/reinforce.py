"""REINFORCE with a baseline on a hand-written balancing task."""

import math
from collections import deque

import torch
import torch.nn as nn
from torch.distributions import Categorical


class Pole:
    """A pole on a cart, with the usual equations of motion."""

    def __init__(self, max_steps=120):
        self.max_steps = max_steps

    def reset(self):
        self.state = [(torch.rand(()).item() - 0.5) * 0.1 for _ in range(4)]
        self.t = 0
        return self.state

    def step(self, action):
        x, v, angle, spin = self.state
        force = 10.0 if action == 1 else -10.0
        sin, cos = math.sin(angle), math.cos(angle)
        push = (force + 0.05 * spin**2 * sin) / 1.1
        turn = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
        accel = push - 0.05 * turn * cos / 1.1
        self.state = [x + 0.02 * v, v + 0.02 * accel, angle + 0.02 * spin, spin + 0.02 * turn]
        self.t += 1
        fallen = abs(self.state[0]) > 2.4 or abs(self.state[2]) > 0.21
        return self.state, 1.0, fallen or self.t >= self.max_steps


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 128)
        self.affine2 = nn.Linear(128, 2)

    def forward(self, x):
        return torch.softmax(self.affine2(torch.relu(self.affine1(x))), dim=-1)


env = Pole()
torch.manual_seed(8)
policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
gamma = 0.99
eps = torch.finfo(torch.float32).eps


def select_action(state):
    probs = policy(torch.tensor(state))
    m = Categorical(probs)
    action = m.sample()
    return action.item(), m.log_prob(action)


def finish_episode(log_probs, rewards):
    R = 0.0
    returns = deque()
    for r in rewards[::-1]:
        R = r + gamma * R
        returns.appendleft(R)
    returns = torch.tensor(list(returns))
    returns = (returns - returns.mean()) / (returns.std() + eps)
    policy_loss = [-log_prob * R for log_prob, R in zip(log_probs, returns)]
    optimizer.zero_grad()
    policy_loss = torch.stack(policy_loss).sum()
    policy_loss.backward()
    optimizer.step()


def main():
    running_reward = 10.0
    for i_episode in range(1, 106):
        state, done = env.reset(), False
        log_probs, rewards = [], []
        while not done:
            action, log_prob = select_action(state)
            state, reward, done = env.step(action)
            log_probs.append(log_prob)
            rewards.append(reward)
        running_reward = 0.05 * sum(rewards) + 0.95 * running_reward
        finish_episode(log_probs, rewards)
        if i_episode % 15 == 0:
            total = sum(rewards)
            print(f"Episode {i_episode}\tLast reward: {total:.0f}\tAverage: {running_reward:.2f}")


if __name__ == "__main__":
    main()
