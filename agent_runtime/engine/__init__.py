"""The compute room: backbone, caches, scheduling and the programs that turn a prompt into a reply.

Only this package mentions torch. Nothing is imported here, so that `import agent_runtime` stays light.
"""
