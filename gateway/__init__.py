"""The HTTP side of lair: turns dialects into contracts and back.

It holds no policy and no data: `router_svc` answers chats, `memory_svc` keeps
conversations, `metrics_svc` makes reports.
"""
