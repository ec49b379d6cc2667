# The router before several VLM servers (docs/vlm-servers.md), in an environment of its own:
#   docker build -f deploy/docker/router.Dockerfile -t streetvision-router:1.13.0 .
FROM python:3.11-slim-bookworm
RUN python -m pip install --no-cache-dir smg==1.13.0 \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp router
USER 10001:10001
EXPOSE 30000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:30000/liveness', timeout=4)"]
ENTRYPOINT ["python", "-m", "smg.launch_router"]
