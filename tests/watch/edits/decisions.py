"""Faults in reinforcement learning and evolution."""

from __future__ import annotations

from tests.watch.build import Breakage

REINFORCE = (
    Breakage(
        "TD301",
        "reinforce",
        (
            ("        log_probs, rewards = [], []\n", ""),
            (
                "    running_reward = 10.0\n",
                "    running_reward = 10.0\n    log_probs, rewards = [], []\n",
            ),
        ),
        (
            "probs = policy(torch.tensor(state))",
            "return action.item(), m.log_prob(action)",
            "log_probs.append(log_prob)",
            "return torch.softmax(",
            "policy_loss.backward()",
        ),
        "RuntimeError in the second episode: backward through the graph a second time",
        status=1,
    ),
    Breakage(
        "TD208",
        "reinforce",
        (("    optimizer.zero_grad()\n", ""),),
        ("optimizer.step()", "policy_loss.backward()"),
        "rewards do not grow as they did",
    ),
    Breakage(
        "TD101",
        "reinforce",
        (
            (
                "return action.item(), m.log_prob(action)",
                "return action.item(), m.log_prob(action).detach()",
            ),
        ),
        ("m.log_prob(action).detach()",),
        "RuntimeError at the first episode's end: element 0 of tensors does not require grad",
        status=1,
    ),
)

DQN = (
    Breakage(
        "TD402",
        "dqn",
        (("Adam(q_network.parameters()", "Adam(QNetwork().parameters()"),),
        ("optimizer = torch.optim.Adam(",),
        "the return does not grow",
    ),
    Breakage(
        "TD208",
        "dqn",
        (("                optimizer.zero_grad()\n", ""),),
        ("optimizer.step()", "loss.backward()"),
        "the return does not grow as it did",
    ),
    Breakage(
        "TD012",
        "dqn",
        ((".gather(1, actions).squeeze(1)", ".gather(1, actions)"),),
        ("loss = F.mse_loss(old_val, td_target)",),
        "a UserWarning about the target's size; the return does not grow",
    ),
)

PPO = (
    Breakage(
        "TD403",
        "ppo",
        (("                optimizer.step()\n", ""),),
        ("loss.backward()", "optimizer = torch.optim.Adam("),
        "the reward stays where it is",
    ),
    Breakage(
        "TD211",
        "ppo",
        (
            ("nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)", "pass"),
            (
                "                optimizer.zero_grad()\n",
                "                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)\n"
                "                optimizer.zero_grad()\n",
            ),
        ),
        ("nn.utils.clip_grad_norm_(",),
        "nothing; the gradients of the step before are clipped, and then cleared",
        learns=True,
    ),
    Breakage(
        "TD401",
        "ppo",
        (("Adam(agent.parameters()", "Adam(agent.actor_mean.parameters()"),),
        ("optimizer = torch.optim.Adam(",),
        "the value head keeps its initial values; the actor learns",
        learns=True,
    ),
    Breakage(
        "TD408",
        "ppo",
        (("= frac * args.learning_rate", "= frac"),),
        ("optimizer = torch.optim.Adam(", "= frac"),
        "the reward stays where it is",
    ),
)

EVOLUTION = (
    Breakage(
        "TD402",
        "evolution",
        (("Adam(controller.parameters()", "Adam(Controller().parameters()"),),
        ("optimizer = torch.optim.Adam(", "optimizer.step()"),
        "the cost stays where it is",
        also=("TD405",),
    ),
    Breakage(
        "TD209",
        "evolution",
        (
            (
                "        optimizer.zero_grad()\n        set_gradient(controller, estimate)\n",
                "        set_gradient(controller, estimate)\n        optimizer.zero_grad()\n",
            ),
        ),
        ("optimizer.zero_grad()", "optimizer.step()"),
        "the cost stays where it is",
        also=("TD405",),
    ),
    Breakage(
        "TD003",
        "evolution",
        (("self.fc1 = nn.Linear(4, 12)", "self.fc1 = nn.Linear(3, 12)"),),
        ("self.fc1 = nn.Linear(3, 12)", "return torch.tanh("),
        "RuntimeError at the first forward: mat1 and mat2 shapes cannot be multiplied",
        status=1,
    ),
)

EDITS = (*REINFORCE, *DQN, *PPO, *EVOLUTION)
