"""One pod's life on its node: scheduled, pulled, started, watched, ended."""

from __future__ import annotations

import asyncio
import shutil

from airflow_mlops_provider.testing.cluster.containers import Container
from airflow_mlops_provider.testing.cluster.disruption import disrupt
from airflow_mlops_provider.testing.cluster.environment import ConfigMissing, command_of, environment_of, hostname_of
from airflow_mlops_provider.testing.cluster.faults import Evict, Fault, ImagePull, NodeLost, Preempt, Unschedulable
from airflow_mlops_provider.testing.cluster.memory import exceeds
from airflow_mlops_provider.testing.cluster.node import Node
from airflow_mlops_provider.testing.cluster.objects import Json, stamp
from airflow_mlops_provider.testing.cluster.podstatus import condition, status_of, with_condition
from airflow_mlops_provider.testing.cluster.process import ContainerPlan, Mount, Process, StartError
from airflow_mlops_provider.testing.cluster.quantity import quantity
from airflow_mlops_provider.testing.cluster.record import Record
from airflow_mlops_provider.testing.cluster.tasks import Tasks, report
from airflow_mlops_provider.testing.cluster.volumes import fill_volumes, mounts_of, uncovered

__all__ = ["PodRun"]

_RETRY_S = 0.2
_UNKNOWN_IMAGE = (
    "failed to resolve reference: pull access denied, repository does not exist or may require authorization"
)


class PodRun:
    """The pod's containers and the tasks that carry it."""

    def __init__(self, node: Node, pod: Json, fault: Fault | None) -> None:
        self.node = node
        self.record = Record(node.store, pod)
        self._fault = fault
        self._folder = node.folder / "pods" / self.record.uid
        self._folder.mkdir(parents=True)
        spec = pod["spec"]
        self.init = [self._container(one, init=True) for one in spec.get("initContainers") or []]
        self.main = [self._container(one, init=False) for one in spec["containers"]]
        if self.init:
            for container in self.main:
                container.waits("PodInitializing")
        self._restart_policy: str = spec["restartPolicy"]
        self._ended: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self._starting = asyncio.Lock()
        self._up = asyncio.Event()
        self._tasks = Tasks()
        self._end: asyncio.Task[None] | None = None
        self._life = asyncio.create_task(self._live())
        self._life.add_done_callback(report)

    def container(self, name: str) -> Container | None:
        """Return the container of that name."""
        return next((one for one in [*self.init, *self.main] if one.name == name), None)

    # -- life ---------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        await self._schedule()
        self._tasks.spawn(self._deadline())
        self._tasks.spawn(self._afflict())
        await self._run_containers()
        if not self.record.lost:  # else nobody heard of the end, and the node controller goes on
            self._tasks.cancel()

    async def _run_containers(self) -> None:
        await self._make_volumes()
        for container in self.init:
            if await self._carry(container) != 0:
                return
        for container in self.main:
            container.waits("ContainerCreating")
        self._publish()
        await asyncio.gather(*(self._carry(container) for container in self.main))

    async def _schedule(self) -> None:
        fault = self._fault
        if isinstance(fault, Unschedulable):
            self.record.tell("FailedScheduling", fault.message, source="default-scheduler")
            self.record.mark(condition("PodScheduled", holds=False, reason="Unschedulable", message=fault.message))
            await _sleep(fault.for_s)
        pod = self.record.pod
        spec = pod["spec"] | {"nodeName": self.node.name}
        status = with_condition(pod["status"] | {"startTime": stamp()}, condition("PodScheduled", holds=True))
        self.record.keep(pod | {"spec": spec, "status": status})
        place = f"{self.record.key.namespace}/{self.record.key.name} to {self.node.name}"
        self.record.tell("Scheduled", f"Successfully assigned {place}", source="default-scheduler")
        self._publish()

    async def _make_volumes(self) -> None:
        while True:
            try:
                claims = self.node.folder / "claims"
                self._places = fill_volumes(self.record.pod, self.node.store, self._folder / "volumes", claims)
                return
            except ConfigMissing as exc:
                self.record.tell("FailedMount", f"MountVolume.SetUp failed: {exc}")
            await asyncio.sleep(_RETRY_S)

    async def _carry(self, container: Container) -> int:
        """Run the container until it is over for good; return its exit code."""
        backoff_s = self.node.backoff_s
        while True:
            await self._pull(container)
            code = await self._once(container)
            again = self._restart_policy == "Always" and not container.init
            if not again and (code == 0 or self._restart_policy == "Never"):
                return code
            said = f"back-off {backoff_s:g}s restarting failed container={container.name}"
            container.waits("CrashLoopBackOff", said)
            self.record.tell("BackOff", said, container=container.name)
            self._publish()
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, 300.0)

    async def _pull(self, container: Container) -> None:
        image, fault = container.spec["image"], self._fault
        if isinstance(fault, ImagePull):
            until = asyncio.create_task(_sleep(fault.for_s))
            await self._fail_to_pull(container, fault.message, until)
            self._fault = None
        elif image not in self.node.images:
            await self._fail_to_pull(container, _UNKNOWN_IMAGE, asyncio.create_task(_sleep(None)))
        self.record.tell("Pulled", f'Container image "{image}" already present on machine', container=container.name)

    async def _fail_to_pull(self, container: Container, words: str, until: asyncio.Task[None]) -> None:
        image, backoff_s = container.spec["image"], self.node.backoff_s
        message = f'Failed to pull image "{image}": {words}'
        try:
            while not until.done():
                self.record.tell("Pulling", f'Pulling image "{image}"', container=container.name)
                self.record.tell("Failed", message, container=container.name)
                self.record.tell("Failed", "Error: ErrImagePull", container=container.name)
                container.waits("ErrImagePull", words)
                self._publish()
                await asyncio.wait({until}, timeout=backoff_s)
                self.record.tell("BackOff", f'Back-off pulling image "{image}"', container=container.name)
                container.waits("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {words}')
                self._publish()
                await asyncio.wait({until}, timeout=backoff_s)
                backoff_s = min(backoff_s * 2, 300.0)
        finally:
            until.cancel()

    async def _once(self, container: Container) -> int:
        plan = await self._plan(container)
        async with self._starting:
            log = container.begin()
            try:
                process = await Process.start(plan, log)
            except StartError as exc:
                container.cannot_start(str(exc))
                self.record.tell(
                    "Failed", f"Error: {container.state['terminated']['message']}", container=container.name
                )
                self._publish()
                return 128
            container.runs(process)
        self.record.tell("Created", f"Created container: {container.name}", container=container.name)
        self.record.tell("Started", f"Started container {container.name}", container=container.name)
        self._publish()
        if all(one.logs for one in self.main):
            self._up.set()
        guard = asyncio.create_task(self._guard(container, process))
        try:
            code = await process.wait()
        finally:
            guard.cancel()
        container.ended(code)
        self._publish()
        return code

    async def _plan(self, container: Container) -> ContainerPlan:
        image = self.node.images[container.spec["image"]]
        while True:
            try:
                env = environment_of(self.record.pod, container.spec, image, self.node.store, self.node.base_env)
                break
            except ConfigMissing as exc:
                if container.waits("CreateContainerConfigError", str(exc)):
                    self.record.tell("Failed", f"Error: {exc}", container=container.name)
                    self._publish()
            await asyncio.sleep(_RETRY_S)
        scratch = self._folder / "mounts" / f"{container.name}-{len(container.logs)}"
        scratch.mkdir(parents=True)
        message = Mount(str(container.message_file), container.spec["terminationMessagePath"])
        mounts = mounts_of(self.record.pod, container.spec, self._places)
        if self.record.pod["spec"].get("subdomain"):
            mounts.append(Mount(str(self.node.hosts(self.record.key.namespace)), "/etc/hosts"))
        return ContainerPlan(
            command=command_of(container.spec, image, env),
            env=env,
            cwd=container.spec.get("workingDir") or image.working_dir,
            hostname=hostname_of(self.record.pod),
            scratch=str(scratch),
            mounts=[*mounts, *uncovered(image.folders, mounts), message],
        )

    async def _guard(self, container: Container, process: Process) -> None:
        limit = container.spec["resources"].get("limits", {}).get("memory")
        if limit is None:
            return
        await exceeds(process.pid, int(quantity(str(limit))))
        container.out_of_memory = True
        await process.stop(0)

    def remove_files(self) -> None:
        """Remove what the pod had on this machine."""
        shutil.rmtree(self._folder)

    # -- end ----------------------------------------------------------------------------------------------------

    async def end(self, grace_s: float, **how: str) -> None:
        """End every container: SIGTERM to process 1, SIGKILL after the grace period.

        `how` is the phase, reason and message to leave, where it is not the containers' exits that tell. Of two calls
        the first one tells how; the shorter grace period counts.
        """
        if self._end is None:
            self._end = asyncio.create_task(self._stop(grace_s, how))
        elif not self._end.done():
            self._tasks.spawn(self._stop_all(grace_s))
        await asyncio.shield(self._end)

    async def _stop(self, grace_s: float, how: dict[str, str]) -> None:
        async with self._starting:
            self._life.cancel()
            await asyncio.wait({self._life})
        await self._stop_all(grace_s)
        self._tasks.cancel()
        self._restart_policy = "Never"
        if not self.record.over:
            self._ended = {**({"phase": "Failed"} if self._waiting() else {}), **how}
        self._publish()

    async def _stop_all(self, grace_s: float) -> None:
        await asyncio.gather(*(self._stop_one(one, grace_s) for one in [*self.init, *self.main]))

    async def _stop_one(self, container: Container, grace_s: float) -> None:
        if process := container.process:
            self.record.tell("Killing", f"Stopping container {container.name}", container=container.name)
            code = await process.stop(grace_s)
            if container.process is process:
                container.ended(code)

    def _waiting(self) -> bool:
        return any("waiting" in container.state for container in [*self.init, *self.main])

    async def _deadline(self) -> None:
        seconds = self.record.pod["spec"].get("activeDeadlineSeconds")
        if seconds is not None:
            await asyncio.sleep(seconds)
            message = "Pod was active on the node longer than the specified deadline"
            await self.end(self._grace_s(), phase="Failed", reason="DeadlineExceeded", message=message)

    def _grace_s(self) -> float:
        return float(self.record.pod["spec"]["terminationGracePeriodSeconds"])

    # -- faults -------------------------------------------------------------------------------------------------

    async def _afflict(self) -> None:
        if isinstance(self._fault, Evict | Preempt | NodeLost):
            fault = self._fault
            await self._up.wait()
            await asyncio.sleep(fault.after_s)
            await disrupt(self, fault)

    def inflict(self, fault: Evict | Preempt | NodeLost) -> None:
        """Let the fault happen now."""
        self._tasks.spawn(disrupt(self, fault))

    # -- state --------------------------------------------------------------------------------------------------

    def _container(self, spec: Json, *, init: bool) -> Container:
        message = self._folder / f"message-{spec['name']}"
        message.touch()
        return Container(spec, message, init)

    def _publish(self) -> None:
        pod = self.record.pod
        if not self.record.lost:
            status = status_of(pod["status"], self.init, self.main, self._restart_policy, self._ended)
            self.record.keep(pod | {"status": status})


async def _sleep(for_s: float | None) -> None:
    """Sleep that long; None is for ever."""
    if for_s is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(for_s)
